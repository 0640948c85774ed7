/* Draws the panels on one time axis and filters the rules table. Everything it shows is in the
   page already: the plots' figures stand in tables beside them. */
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var charts = [], printing = false;
  var PAPER = 640;

  function colour(name) {
    return getComputedStyle(document.body).getPropertyValue(name).trim();
  }

  function behind(u, plot) {
    var ctx = u.ctx, top = u.bbox.top, height = u.bbox.height;
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left, top, u.bbox.width, height);
    ctx.clip();
    if (data.window) {
      var left = u.valToPos(data.window[0], "x", true);
      ctx.fillStyle = colour("--shade");
      ctx.fillRect(left, top, u.valToPos(data.window[1], "x", true) - left, height);
    }
    if (plot.band) {
      var high = u.valToPos(plot.band[1], "y", true);
      ctx.fillStyle = colour("--band");
      ctx.fillRect(u.bbox.left, high, u.bbox.width, u.valToPos(plot.band[0], "y", true) - high);
    }
    ctx.restore();
  }

  function marks(u) {
    var ctx = u.ctx, ratio = window.devicePixelRatio || 1;
    ctx.save();
    data.marks.forEach(function (mark) {
      if (mark.at < data.range[0] || mark.at > data.range[1]) return;
      var x = Math.round(u.valToPos(mark.at, "x", true));
      ctx.beginPath();
      ctx.lineWidth = (mark.kind === "since" ? 2 : 1) * ratio;
      ctx.strokeStyle = colour(mark.kind === "since" ? "--accent" : "--quiet");
      ctx.setLineDash(mark.kind === "since" ? [] : [4 * ratio, 4 * ratio]);
      ctx.moveTo(x, u.bbox.top);
      ctx.lineTo(x, u.bbox.top + u.bbox.height);
      ctx.stroke();
    });
    ctx.restore();
  }

  function figure(value) {
    if (value === null || value === undefined) return "";
    return Math.abs(value) >= 100 ? value.toFixed(0) : String(+value.toPrecision(3));
  }

  /* A mean since the moment before is a level stroke over that time; an unknown one is none. */
  function level(line) {
    var x = [], y = [];
    for (var i = 1; i < line.x.length; i += 1) {
      x.push(line.x[i - 1] + (line.x[i] - line.x[i - 1]) / 1000, line.x[i]);
      y.push(line.y[i], line.y[i]);
    }
    return [x, y];
  }

  /* Lines have their own moments. Joined on one x, what a line never had there does not break it;
     what it had as unknown does (mode 2 widens that to the line's own neighbours). */
  function joined(plot) {
    var tables = plot.lines.map(function (line) {
      return plot.holds === "since" && line.hue ? level(line) : [line.x, line.y];
    });
    return uPlot.join(tables, tables.map(function () { return [0, 2]; }));
  }

  /* The points that no stroke reaches: nothing known of the line right before or after. */
  function lonely(ys) {
    var own = [];
    ys.forEach(function (v, i) { if (v !== undefined) own.push(i); });
    return own.filter(function (i, k) {
      return ys[i] !== null && (k === 0 || ys[own[k - 1]] === null) && (k === own.length - 1 || ys[own[k + 1]] === null);
    });
  }

  function series(plot, columns) {
    return plot.lines.map(function (line, i) {
      var ys = columns[i + 1], known = line.y.filter(function (v) { return v !== null; }).length;
      var dots = plot.holds === "at" && line.hue && known < 40 ? null : lonely(ys);
      return {
        label: line.name, width: line.hue ? 1.75 : 1.25,
        points: { show: true, size: 5, fill: colour("--hue" + line.hue), filter: function () { return dots; } },
        stroke: colour("--hue" + line.hue), dash: line.hue ? undefined : [5, 4],
        paths: plot.holds === "until" ? uPlot.paths.stepped({ align: 1 }) : undefined,
        value: function (u, v) { return figure(v); }
      };
    });
  }

  function draw() {
    charts.forEach(function (c) { c.destroy(); });
    charts = [];
    document.querySelectorAll("[data-plot]").forEach(function (box) {
      var plot = data.plots[+box.dataset.plot], columns = joined(plot), grid = { stroke: colour("--grid"), width: 1 };
      var axis = { stroke: colour("--quiet"), grid: grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
      charts.push(new uPlot({
        width: Math.max(240, printing ? PAPER : box.clientWidth), height: 150, padding: [8, 24, 0, 0],
        series: [{ label: "at", value: function (u, v) { return v === null ? "" : v.toFixed(0) + " s"; } }].concat(series(plot, columns)),
        legend: { markers: { width: 0, fill: function (u, i) { return colour("--hue" + plot.lines[i - 1].hue); } } },
        cursor: { sync: { key: "run" }, drag: { x: false, y: false } },
        scales: { x: { time: false, range: function () { return data.range; } },
          y: { range: function (u, low, high) { return [0, (high > 0 ? high : 1) * 1.12]; } } },
        axes: [Object.assign({ size: 30, gap: 8, values: function (u, vs) { return vs.map(function (v) { return v + " s"; }); } }, axis),
          Object.assign({ size: 80, space: 26, values: function (u, vs) { return vs.map(figure); } }, axis)],
        hooks: { drawClear: [function (u) { behind(u, plot); }], draw: [marks] }
      }, columns, box));
    });
  }

  /* Paper is white and narrow, whatever the screen was, and nobody can open reasons on it. */
  function print(on) {
    printing = on;
    document.querySelectorAll("details.paper").forEach(function (box) {
      if (on) box.dataset.was = box.open;
      box.open = on || box.dataset.was === "true";
    });
    document.documentElement.classList.toggle("printing", on);
    draw();
  }

  function filter() {
    var shown = {};
    document.querySelectorAll("[data-show]").forEach(function (b) {
      shown[b.dataset.show] = b.getAttribute("aria-pressed") === "true";
    });
    document.querySelectorAll("[data-result]").forEach(function (row) {
      row.hidden = !shown[row.dataset.result];
    });
  }

  document.querySelectorAll("[data-show]").forEach(function (button) {
    button.addEventListener("click", function () {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  });
  document.querySelector('nav a[href="#rules"]').addEventListener("click", function () {
    document.querySelector("#rules > details").open = true;
  });
  var pending;
  window.addEventListener("resize", function () { clearTimeout(pending); pending = setTimeout(draw, 150); });
  dark.addEventListener("change", draw);
  window.addEventListener("beforeprint", function () { print(true); });
  window.addEventListener("afterprint", function () { print(false); });
  filter();
  draw();
}());
