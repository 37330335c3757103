import { describe, expect, it } from "vitest";
import { nextElapse, parseCalendar } from "./calendar-expression.js";

function next(text: string, after: string): string | null {
  const parsed = parseCalendar(`${text} UTC`);
  if (!parsed.ok) {
    throw new Error(parsed.reason);
  }
  const at = nextElapse(parsed.expression, Date.parse(after));
  return at === null ? null : new Date(at).toISOString().replace(".000Z", "Z");
}

describe("nextElapse", () => {
  it.each([
    ["*-*-* 03:00", "2026-11-23T02:59:59Z", "2026-11-23T03:00:00Z"],
    ["*-*-* 03:00", "2026-11-23T03:00:00Z", "2026-11-24T03:00:00Z"],
    ["03:00", "2026-11-23T04:00:00Z", "2026-11-24T03:00:00Z"],
    ["*:0/15", "2026-11-23T10:07:30Z", "2026-11-23T10:15:00Z"],
    ["*:*:0/20", "2026-11-23T10:07:41Z", "2026-11-23T10:08:00Z"],
    // 23 November 2026 is a Monday.
    ["Mon..Fri 07:30", "2026-11-27T08:00:00Z", "2026-11-30T07:30:00Z"],
    ["Sat,Sun *-*-* 12:00:00", "2026-11-23T00:00:00Z", "2026-11-28T12:00:00Z"],
    ["fri..mon", "2026-11-24T00:00:00Z", "2026-11-27T00:00:00Z"],
    ["Thursday 00:00", "2026-11-23T00:00:00Z", "2026-11-26T00:00:00Z"],
    ["*-*-31 00:00", "2026-11-23T00:00:00Z", "2026-12-31T00:00:00Z"],
    ["*-02-29 00:00", "2026-11-23T00:00:00Z", "2028-02-29T00:00:00Z"],
    ["*-*~1 23:30", "2027-02-01T00:00:00Z", "2027-02-28T23:30:00Z"],
    ["*-1,4..6/2-1 00:00", "2026-11-23T00:00:00Z", "2027-01-01T00:00:00Z"],
    ["*-1,4..6/2-1 00:00", "2027-04-02T00:00:00Z", "2027-06-01T00:00:00Z"],
    ["2027-03-04 05:06:07", "2026-11-23T00:00:00Z", "2027-03-04T05:06:07Z"],
    ["03-04", "2026-11-23T00:00:00Z", "2027-03-04T00:00:00Z"],
    ["27-03-04 00:00", "2026-11-23T00:00:00Z", "2027-03-04T00:00:00Z"],
    ["2001-01-01", "2026-11-23T00:00:00Z", null],
  ])("%s after %s is %s", (text, after, expected) => {
    expect(next(text, after)).toBe(expected);
  });

  it.each([
    ["minutely", "2026-11-23T10:07:30Z", "2026-11-23T10:08:00Z"],
    ["hourly", "2026-11-23T10:07:30Z", "2026-11-23T11:00:00Z"],
    ["daily", "2026-11-23T10:07:30Z", "2026-11-24T00:00:00Z"],
    ["weekly", "2026-11-24T10:07:30Z", "2026-11-30T00:00:00Z"],
    ["monthly", "2026-11-23T10:07:30Z", "2026-12-01T00:00:00Z"],
    ["quarterly", "2026-11-23T10:07:30Z", "2027-01-01T00:00:00Z"],
    ["semiannually", "2026-11-23T10:07:30Z", "2027-01-01T00:00:00Z"],
    ["yearly", "2026-11-23T10:07:30Z", "2027-01-01T00:00:00Z"],
  ])("knows the shorthand %s", (text, after, expected) => {
    const parsed = parseCalendar(text);
    if (!parsed.ok) {
      throw new Error(parsed.reason);
    }
    const at = nextElapse({ ...parsed.expression, utc: true }, Date.parse(after));
    expect(new Date(at ?? 0).toISOString().replace(".000Z", "Z")).toBe(expected);
  });

  it("means the machine's local time without UTC, and is always in the future", () => {
    const parsed = parseCalendar("*-*-* 03:00");
    if (!parsed.ok) {
      throw new Error(parsed.reason);
    }
    let at = Date.parse("2026-01-01T00:00:00Z");
    for (let day = 0; day < 366; day++) {
      const following = nextElapse(parsed.expression, at) ?? 0;
      expect(following).toBeGreaterThan(at);
      expect(new Date(following).getHours()).toBe(3);
      at = following;
    }
  });
});

describe("parseCalendar refuses", () => {
  it.each([
    ["Someday", 'has "Someday", which is neither a weekday'],
    ["*-13-01", "has the month 13; it goes from 1 to 12"],
    ["25:00", "has the hour 25; it goes from 0 to 23"],
    ["*:0/0", "repeats the minute every 0"],
    ["*-*-5..2", 'has the day "5..2", which ends before it begins'],
    ["*-02-30", "never comes"],
    ["03:00:00.5", "has fractions of a second"],
    ["03:00 Europe/Berlin", 'has "Europe/Berlin" too much'],
    ["2026", 'has the date "2026"'],
    ["a:b", 'has "a:b"'],
    ["3:x", 'has the minute "x"'],
  ])("%s", (text, reason) => {
    const parsed = parseCalendar(text);
    expect(parsed).toMatchObject({ ok: false });
    expect(parsed.ok ? "" : parsed.reason).toContain(reason);
  });
});
