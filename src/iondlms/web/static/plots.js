// The two plots, drawn by uPlot: total power as it comes, and a recorder's rows.
const uPlot = window.uPlot;
const HEIGHT = 260;
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Six colours that differ for the colour-blind too (panel.css); after them they come again in another stroke.
const COLOURS = 6;
const STROKES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
const stroke = (which) => colour(`--series-${(which % COLOURS) + 1}`);
const dash = (which) => STROKES[Math.floor(which / COLOURS) % STROKES.length];

export const fixed = (value, digits = 3) => (value === null || value === undefined ? "-"
  // || 0: what is rounded to nothing has no sign.
  : (Number(value.toFixed(digits)) || 0)
    .toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replaceAll(",", "\u202f"));

function axis(more) {
  return { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, ...more };
}

// Makes the plot anew when the colours change, and fits it to its place.
function kept(place, make) {
  let plot = null;
  const build = () => {
    plot?.destroy();
    plot = make(Math.max(place.clientWidth, 200)) ?? null;
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

// What is drawn is one unit of the recorder at a time, or the first two: there are two sides for an axis.
export function profilePlot(place, hover, select) {
  let told = null, rows = [], gaps = 0;
  const chosen = new Map(); // by recorder
  const hint = hover.textContent;
  let legend = null;

  const unitOf = (column) => column.unit || "no unit";

  function offer() {
    const units = [...new Set((told?.columns ?? []).map(unitOf))];
    const choices = units.length > 1 ? [units.slice(0, 2), ...units.map((each) => [each])] : [units];
    const values = choices.map((each) => each.join(" "));
    if (JSON.stringify([...select.options].map((each) => each.value)) !== JSON.stringify(values)) {
      select.replaceChildren(...choices.map((each, at) => new Option(each.join(" and "), values[at])));
    }
    const wanted = chosen.get(told?.recorder);
    select.value = values.includes(wanted) ? wanted : values[0];
    select.parentElement.hidden = !units.length;
    select.disabled = values.length < 2;
    return choices[Math.max(0, select.selectedIndex)];
  }
  select.addEventListener("change", () => {
    if (!told) return;
    chosen.set(told.recorder, select.value);
    holder.build();
  });

  // A row holds for the interval that ends with it. Where the row before is missing, the line ends there and
  // begins anew with the interval.
  function columns(drawn) {
    const xs = [], ys = drawn.map(() => []), of = [];
    const step = told.period_s;
    gaps = 0;
    const push = (x, values, index) => {
      if (!values) gaps += 1;
      xs.push(x);
      ys.forEach((column, at) => column.push(values ? values[drawn[at].which] : null));
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

  function tell(drawn, of, at) {
    const index = at === null || at === undefined ? null : of[at];
    if (index === null || index === undefined) {
      hover.textContent = hint;
      return;
    }
    const row = rows[index];
    const said = drawn.map((each) => `${each.quantity} ${fixed(row.values[each.which])} ${each.unit}`.trim());
    hover.textContent = `${row.time.slice(0, 10)} ${row.time.slice(11, 16)}: ${said.join(", ")}; status ${row.status_words || row.status}`;
  }

  function describe(drawn, units) {
    legend?.remove();
    legend = document.createElement("ul");
    legend.className = "legend";
    drawn.forEach((each, at) => {
      const item = document.createElement("li"), swatch = document.getElementById("swatch").content.cloneNode(true);
      const sample = swatch.querySelector("line");
      sample.setAttribute("stroke", stroke(at));
      sample.setAttribute("stroke-dasharray", dash(at).join(" "));
      const side = units.length > 1 ? `, ${units.indexOf(unitOf(each)) ? "right" : "left"}` : "";
      item.append(swatch, `${each.quantity} (${unitOf(each)}${side})`);
      legend.append(item);
    });
    place.after(legend);
  }

  const holder = kept(place, (width) => {
    if (!told) return null;
    const units = offer();
    const drawn = told.columns.map((each, which) => ({ ...each, which })).filter((each) => units.includes(unitOf(each)));
    const { data, of } = columns(drawn);
    // The stamp of an interval is its end: its value holds from the stamp before.
    const stepped = uPlot.paths.stepped({ align: -1 });
    describe(drawn, units);
    return new uPlot({
      width, height: HEIGHT, legend: { show: false }, cursor: { y: false },
      scales: { x: { time: true } },
      tzDate: (x) => uPlot.tzDate(new Date((x + offsetAt(x)) * 1000), "Etc/UTC"),
      axes: [
        axis({ values: (_, splits) => splits.map((x) => (local(x).slice(11, 16) === "00:00" ? local(x).slice(5, 10) : local(x).slice(11, 16))), space: 60 }),
        ...units.map((unit, which) => axis({ scale: unit, label: unit, size: 74, labelSize: 20, side: which ? 1 : 3, ...(which ? { grid: { show: false } } : {}) })),
      ],
      series: [{}, ...drawn.map((each, at) => ({
        label: each.quantity, scale: unitOf(each), width: 2, spanGaps: false,
        stroke: stroke(at), points: { show: rows.length < 3 }, paths: stepped, dash: dash(at),
      }))],
      hooks: { draw: [(plot) => marks(plot, of)], setCursor: [(plot) => tell(drawn, of, plot.cursor.idx)] },
    }, data, place);
  });
  return {
    show(next) {
      told = next;
      rows = next ? [...next.rows].sort((a, b) => Date.parse(a.time) - Date.parse(b.time)) : [];
      hover.textContent = hint;
      holder.build();
      if (!told) { offer(); legend?.remove(); gaps = 0; }
      return gaps;
    },
  };
}
