import test from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { correctUnit, formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

test("parseDuration() reads ms, s, m, h", () => {
  for (
    const [text, ms] of [["500ms", 500], ["10s", 10_000], ["1.5m", 90_000], ["2h", 7_200_000], [
      "0s",
      0,
    ]] as const
  ) {
    assert.equal(parseDuration(text), ms);
  }
  for (const text of ["", "10", "s", "-1s", "1 s", "1S", "1d", "1e3s", "10s ", ".5s", "1.s"]) {
    assert.equal(parseDuration(text), undefined, text);
  }
});

test("parseSize() reads B, KiB, MiB, GiB", () => {
  for (
    const [text, bytes] of [["512B", 512], ["64KiB", 65_536], ["10MiB", 10_485_760], [
      "1.5GiB",
      1_610_612_736,
    ]] as const
  ) {
    assert.equal(parseSize(text), bytes);
  }
  for (const text of ["", "10", "10MB", "10M", "10mib", "-1B", "1 KiB"]) {
    assert.equal(parseSize(text), undefined, text);
  }
});

test("formatDuration() and formatSize() write what parse reads back", () => {
  fc.assert(fc.property(fc.nat(999_999_999), (n) => {
    assert.equal(parseDuration(formatDuration(n)), n);
    assert.equal(parseSize(formatSize(n)), n);
  }));
  assert.equal(formatDuration(90_000), "90s");
  assert.equal(formatDuration(120_000), "2m");
  assert.equal(formatSize(65_536), "64KiB");
  assert.equal(formatSize(0), "0B");
});

test("correctUnit() knows the units of others", () => {
  for (
    const [wrong, right] of [["10", "10s"], ["5 min", "5m"], ["3Hours", "3h"], ["7msec", "7ms"]] as const
  ) {
    assert.equal(correctUnit(wrong, "duration"), right);
  }
  for (
    const [wrong, right] of [["10MB", "10MiB"], ["64k", "64KiB"], ["2 gb", "2GiB"], ["9", "9B"]] as const
  ) {
    assert.equal(correctUnit(wrong, "size"), right);
  }
  assert.equal(correctUnit("soon", "duration"), undefined);
  assert.equal(correctUnit("5 apples", "size"), undefined);
});
