// The two plots, drawn by uPlot: total power as it comes, and a recorder's rows.
const uPlot = window.uPlot;
const HEIGHT = 260;
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const SERIES = ["--accent", "--second", "--third", "--fourth"];

function axis(more) {
  return { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, ...more };
}

// Makes the plot anew when the colours change, and fits it to its place.
function kept(place, make) {
  let plot = null;
  const build = () => {
    plot?.destroy();
    plot = make(Math.max(place.clientWidth, 200));
  };
  dark.addEventListener("change", build);
  new ResizeObserver(() => plot && plot.width !== place.clientWidth && place.clientWidth
    && plot.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  return { build, get plot() { return plot; } };
}

function ago(seconds) {
  if (seconds >= -0.5) return "now";
  const all = Math.round(-seconds);
  return all % 60 ? `-${Math.floor(all / 60)}:${String(all % 60).padStart(2, "0")}` : `-${all / 60} min`;
}

export function trendPlot(place) {
  let points = [];
  const KEEP = 900; // s
  const data = () => {
    place.dataset.points = points.length;
    const now = points.length ? points.at(-1)[0] : 0;
    return [points.map(([at]) => at - now), points.map(([, kw]) => kw)];
  };
  const span = () => (points.length ? Math.max(60, points.at(-1)[0] - points[0][0]) : 60);
  const holder = kept(place, (width) => new uPlot({
    width, height: HEIGHT, legend: { show: false }, cursor: { y: false },
    scales: { x: { time: false, range: () => [-span(), 0] }, y: { range: (_, low, high) => around(low, high) } },
    axes: [
      axis({ incrs: [10, 15, 30, 60, 120, 180, 300], values: (_, splits) => splits.map(ago), space: 70 }),
      axis({ label: "kW", size: 64, labelSize: 20 }),
    ],
    series: [{}, { stroke: colour("--accent"), width: 2, spanGaps: false, points: { show: false } }],
  }, data(), place));
  return {
    begin(trail) { points = trail; holder.build(); },
    add(at, kw) {
      points.push([at, kw]);
      while (points[0][0] < at - KEEP) points.shift();
      if (holder.plot) holder.plot.setData(data());
      else holder.build();
    },
  };
}

function around(low, high) {
  if (low === null || high === null) return [0, 1];
  const pad = Math.max((high - low) * 0.15, Math.abs(high) * 0.02, 0.01);
  return [low - pad, high + pad];
}

export function profilePlot(place, hover) {
  let told = null, rows = [], gaps = 0;
  const hint = hover.textContent;
  let legend = null;

  // A row holds for the interval that ends with it. Where the row before is missing, the line ends there and
  // begins anew with the interval.
  function columns() {
    const xs = [], ys = told.columns.map(() => []), of = [];
    const step = told.period_s;
    gaps = 0;
    const push = (x, values, index) => {
      if (!values) gaps += 1;
      xs.push(x);
      ys.forEach((column, which) => column.push(values ? values[which] : null));
      of.push(index);
    };
    rows.forEach((row, index) => {
      const x = Date.parse(row.time) / 1000, before = xs.at(-1);
      const apart = before === undefined || x - before > 1.5 * step;
      if (step && apart) {
        if (before !== undefined) push(before + step / 4, null, null);
        push(x - step, row.values, null);
      }
      push(x, row.values, index);
    });
    return { data: [xs, ...ys], of };
  }

  // The offset of local time at an instant is that of the row before it: a day may have two.
  function offsetAt(x) {
    let found = rows[0];
    for (const row of rows) {
      if (Date.parse(row.time) / 1000 > x) break;
      found = row;
    }
    const zone = found?.time.match(/([+-])(\d\d):(\d\d)/);
    return zone ? (zone[1] === "-" ? -60 : 60) * (60 * Number(zone[2]) + Number(zone[3])) : 0;
  }
  const local = (x) => new Date((x + offsetAt(x)) * 1000).toISOString();

  function marks(plot, of) {
    const { ctx } = plot, ratio = uPlot.pxRatio, top = plot.bbox.top;
    ctx.save();
    ctx.fillStyle = ctx.strokeStyle = colour("--mark");
    of.forEach((index, at) => {
      if (index === null || rows[index].status === 0) return;
      const x = plot.valToPos(plot.data[0][at], "x", true);
      ctx.globalAlpha = 0.35;
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + plot.bbox.height);
      ctx.stroke();
      ctx.globalAlpha = 1;
      ctx.beginPath();
      ctx.moveTo(x - 5 * ratio, top);
      ctx.lineTo(x + 5 * ratio, top);
      ctx.lineTo(x, top + 9 * ratio);
      ctx.fill();
    });
    ctx.restore();
  }

  function tell(of, at) {
    const index = at === null || at === undefined ? null : of[at];
    if (index === null || index === undefined) {
      hover.textContent = hint;
      return;
    }
    const row = rows[index];
    const said = told.columns.map((each, which) => `${each.quantity} ${row.values[which] ?? "-"} ${each.unit}`.trim());
    hover.textContent = `${row.time.slice(0, 10)} ${row.time.slice(11, 16)}: ${said.join(", ")}; status ${row.status_words || row.status}`;
  }

  function describe() {
    legend?.remove();
    legend = document.createElement("ul");
    legend.className = "legend";
    told.columns.forEach((each, which) => {
      const item = document.createElement("li"), swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = colour(SERIES[which % SERIES.length]);
      item.append(swatch, each.unit ? `${each.quantity} (${each.unit})` : each.quantity);
      legend.append(item);
    });
    place.after(legend);
  }

  const holder = kept(place, (width) => {
    const { data, of } = columns();
    const units = [...new Set(told.columns.map((each) => each.unit || "1"))];
    // The stamp of an interval is its end: its value holds from the stamp before.
    const stepped = uPlot.paths.stepped({ align: -1 });
    describe();
    return new uPlot({
      width, height: HEIGHT, legend: { show: false }, cursor: { y: false },
      scales: { x: { time: true } },
      tzDate: (x) => uPlot.tzDate(new Date((x + offsetAt(x)) * 1000), "Etc/UTC"),
      axes: [
        axis({ values: (_, splits) => splits.map((x) => (local(x).slice(11, 16) === "00:00" ? local(x).slice(5, 10) : local(x).slice(11, 16))), space: 60 }),
        ...units.slice(0, 2).map((unit, which) => axis({ scale: unit, label: unit, size: 74, labelSize: 20, side: which ? 1 : 3, ...(which ? { grid: { show: false } } : {}) })),
      ],
      series: [{}, ...told.columns.map((each, which) => ({
        label: each.quantity, scale: each.unit || "1", width: 1.5, spanGaps: false,
        stroke: colour(SERIES[which % SERIES.length]), points: { show: rows.length < 3 }, paths: stepped,
        dash: which < SERIES.length ? undefined : [6, 4],
      }))],
      hooks: { draw: [(plot) => marks(plot, of)], setCursor: [(plot) => tell(of, plot.cursor.idx)] },
    }, data, place);
  });
  return {
    show(next) {
      told = next;
      rows = next ? [...next.rows].sort((a, b) => Date.parse(a.time) - Date.parse(b.time)) : [];
      if (told) holder.build();
      else { place.replaceChildren(); legend?.remove(); gaps = 0; }
      return gaps;
    },
  };
}
