/* Draws the panels on one time axis and filters the rules table. Everything it shows is in the
   page already: the plots' figures stand in tables beside them. */
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var charts = [];

  function colour(name) {
    return getComputedStyle(document.body).getPropertyValue(name).trim();
  }

  function behind(u) {
    var ctx = u.ctx, top = u.bbox.top, height = u.bbox.height;
    ctx.save();
    if (data.window) {
      var left = u.valToPos(data.window[0], "x", true);
      ctx.fillStyle = colour("--shade");
      ctx.fillRect(left, top, u.valToPos(data.window[1], "x", true) - left, height);
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
    if (value === null || value === undefined) return "–";
    return Math.abs(value) >= 100 ? value.toFixed(0) : String(+value.toPrecision(3));
  }

  function series(plot) {
    return plot.names.map(function (name, i) {
      var dashed = name === "offered" || name === "whole host";
      return {
        label: name, width: 1.6, spanGaps: true, points: { show: plot.data[0].length < 40, size: 5 },
        gaps: function (u, idx) {
          return plot.gaps[idx - 1].map(function (x) {
            var at = Math.round(u.valToPos(x, "x", true));
            return [at - 2, at + 2];
          });
        },
        stroke: dashed ? colour("--quiet") : colour("--s" + (i % 5 + 1)), dash: dashed ? [5, 4] : undefined,
        paths: plot.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
        value: function (u, v) { return figure(v); }
      };
    });
  }

  function draw() {
    charts.forEach(function (c) { c.destroy(); });
    charts = [];
    document.querySelectorAll("[data-plot]").forEach(function (box) {
      var plot = data.plots[+box.dataset.plot], grid = { stroke: colour("--line"), width: 1 };
      var axis = { stroke: colour("--quiet"), grid: grid, ticks: grid, font: "12px system-ui, sans-serif" };
      charts.push(new uPlot({
        width: Math.max(260, box.clientWidth), height: 170, series: [{
          label: "s", value: function (u, v) { return v === null ? "–" : v.toFixed(0) + " s"; }
        }].concat(series(plot)),
        cursor: { sync: { key: "run" }, drag: { x: false, y: false } },
        scales: { x: { time: false, range: function () { return data.range; } },
          y: { range: function (u, low, high) { return [0, Math.max(high || 0, 0.001) * 1.12]; } } },
        axes: [Object.assign({}, axis, { values: function (u, vs) { return vs.map(function (v) { return v + " s"; }); } }),
          Object.assign({ size: 58, values: function (u, vs) { return vs.map(figure); } }, axis)],
        hooks: { drawClear: [behind], draw: [marks] }
      }, plot.data, box));
    });
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
  filter();
  draw();
}());
