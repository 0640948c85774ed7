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

  function series(plot) {
    return plot.names.map(function (name, i) {
      var hue = plot.hues[i], count = plot.data[i + 1].filter(function (v) { return v !== null; }).length;
      return {
        label: name, width: hue ? 1.75 : 1.25, spanGaps: true,
        points: { show: hue > 0 && count < 40, size: 5, fill: colour("--hue" + hue) },
        gaps: function (u, idx) {
          return plot.gaps[idx - 1].map(function (x) {
            var at = Math.round(u.valToPos(x, "x", true));
            return [at - 2, at + 2];
          });
        },
        stroke: colour("--hue" + hue), dash: hue ? undefined : [5, 4],
        paths: plot.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
        value: function (u, v) { return figure(v); }
      };
    });
  }

  function draw() {
    charts.forEach(function (c) { c.destroy(); });
    charts = [];
    document.querySelectorAll("[data-plot]").forEach(function (box) {
      var plot = data.plots[+box.dataset.plot], grid = { stroke: colour("--grid"), width: 1 };
      var axis = { stroke: colour("--quiet"), grid: grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
      charts.push(new uPlot({
        width: Math.max(240, printing ? PAPER : box.clientWidth), height: 150, padding: [8, 24, 0, 0],
        series: [{ label: "at", value: function (u, v) { return v === null ? "" : v.toFixed(0) + " s"; } }].concat(series(plot)),
        legend: { markers: { width: 0, fill: function (u, i) { return colour("--hue" + plot.hues[i - 1]); } } },
        cursor: { sync: { key: "run" }, drag: { x: false, y: false } },
        scales: { x: { time: false, range: function () { return data.range; } },
          y: { range: function (u, low, high) { return [0, Math.max(high || 0, 0.001) * 1.12]; } } },
        axes: [Object.assign({ size: 30, gap: 8, values: function (u, vs) { return vs.map(function (v) { return v + " s"; }); } }, axis),
          Object.assign({ size: 80, space: 26, values: function (u, vs) { return vs.map(figure); } }, axis)],
        hooks: { drawClear: [function (u) { behind(u, plot); }], draw: [marks] }
      }, plot.data, box));
    });
  }

  /* Paper is white and narrow, whatever the screen was. */
  function print(on) {
    printing = on;
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
  var pending;
  window.addEventListener("resize", function () { clearTimeout(pending); pending = setTimeout(draw, 150); });
  dark.addEventListener("change", draw);
  window.addEventListener("beforeprint", function () { print(true); });
  window.addEventListener("afterprint", function () { print(false); });
  filter();
  draw();
}());
