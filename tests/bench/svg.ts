/**
 * The little of SVG that the chart needs. Pure.
 *
 * @module
 */

/** Text in a document. */
export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

/** An element with its attributes, and what is in it. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  content = "",
): string {
  const list = Object.entries(attributes).map(([key, value]) =>
    ` ${key}="${typeof value === "number" ? Number(value.toFixed(1)) : escaped(value)}"`
  ).join("");
  return content ? `<${name}${list}>${content}</${name}>` : `<${name}${list}/>`;
}

/** A line from one point to another. */
export function line(x1: number, y1: number, x2: number, y2: number, stroke: string, width = 1): string {
  return element("line", { x1, y1, x2, y2, stroke, "stroke-width": width });
}

/** Words at a point. */
export function words(
  x: number,
  y: number,
  text: string,
  more: Readonly<Record<string, string | number>> = {},
): string {
  return element("text", { x, y, ...more }, escaped(text));
}

/** From values to pixels, by their logarithm. */
export interface LogScale {
  at(value: number): number;
  /** Values at which lines are drawn, far enough apart for their labels. */
  readonly ticks: readonly number[];
}

/** A scale on which all values above 0 have a place; `from` is the pixel of the least, and of all that is not above 0. */
export function logScale(values: readonly number[], from: number, to: number): LogScale {
  const shown = values.filter((value) => value > 0 && Number.isFinite(value));
  if (shown.length === 0) return { at: () => from, ticks: [] };
  const least = Math.min(...shown) / 1.15, most = Math.max(...shown) * 1.15;
  const step = (to - from) / Math.log(most / least);
  const at = (value: number) => value > least ? from + Math.log(Math.min(value, most) / least) * step : from;
  for (const digits of [[1, 2, 5], [1, 3], [1]]) {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
      ticks.push(
        ...digits.map((digit) => Number(`${digit}e${power}`)).filter((t) => t >= least && t <= most),
      );
    }
    const close = ticks.some((tick, n) => n > 0 && Math.abs(at(tick) - at(ticks[n - 1])) < 14);
    if (!close) return { at, ticks };
  }
  return { at, ticks: [] };
}
