/**
 * Calendar expressions as systemd.time(7) writes them: `Mon..Fri *-*-* 03:00`, `hourly`, `*:0/15`,
 * `*-*~1 23:30`. Parsed once, then asked for the next moment. Without a time zone they mean the machine's
 * local time; `UTC` at the end means that. Fractions of seconds and other time zones are refused in words.
 */

/** Every value that one part of an expression allows, in ascending order. */
type Allowed = readonly number[];

export interface CalendarExpression {
  /** As it was written. */
  readonly text: string;
  readonly utc: boolean;
  /** 0 is Sunday, as in Date. */
  readonly weekdays: Allowed;
  /** null: every year. */
  readonly years: Allowed | null;
  readonly months: Allowed;
  /** Days of the month, or days counted from its end (1 is the last) where `fromEnd` is set. */
  readonly days: Allowed;
  readonly fromEnd: boolean;
  readonly hours: Allowed;
  readonly minutes: Allowed;
  readonly seconds: Allowed;
}

export type ParsedCalendar =
  | { readonly ok: true; readonly expression: CalendarExpression }
  | { readonly ok: false; readonly reason: string };

const shorthands: Readonly<Record<string, string>> = {
  minutely: "*-*-* *:*:00",
  hourly: "*-*-* *:00:00",
  daily: "*-*-* 00:00:00",
  weekly: "Mon *-*-* 00:00:00",
  monthly: "*-*-01 00:00:00",
  quarterly: "*-01,04,07,10-01 00:00:00",
  semiannually: "*-01,07-01 00:00:00",
  yearly: "*-01-01 00:00:00",
  annually: "*-01-01 00:00:00",
};

const weekdayNames = [
  "sunday",
  "monday",
  "tuesday",
  "wednesday",
  "thursday",
  "friday",
  "saturday",
] as const;

const LAST_YEAR = 2199;
/** Longer than the gap between any two days that come at all: 29 February on one weekday, over 2100. */
const SEARCHED_DAYS = 366 * 41;

class Refused extends Error {}

export function parseCalendar(text: string): ParsedCalendar {
  try {
    const expression = parse(text);
    if (nextElapse(expression, Date.UTC(2024, 0, 1)) === null && expression.years === null) {
      return { ok: false, reason: "never comes: there is no such day" };
    }
    return { ok: true, expression };
  } catch (error) {
    if (error instanceof Refused) {
      return { ok: false, reason: error.message };
    }
    throw error;
  }
}

function parse(text: string): CalendarExpression {
  const trimmed = text.trim();
  const words = (shorthands[trimmed.toLowerCase()] ?? trimmed).split(/\s+/);
  const utc = words.length > 1 && words.at(-1)?.toUpperCase() === "UTC";
  if (utc) {
    words.pop();
  }
  let weekdays: Allowed = [0, 1, 2, 3, 4, 5, 6];
  if (words[0] !== undefined && /^[a-z]/i.test(words[0])) {
    weekdays = parseWeekdays(words.shift() ?? "");
  }
  const date = words[0] !== undefined && !words[0].includes(":") ? words.shift() : undefined;
  const time = words[0]?.includes(":") === true ? words.shift() : undefined;
  if (words.length > 0) {
    throw new Refused(
      `has "${words.join(" ")}" too much; it goes WEEKDAYS YEAR-MONTH-DAY HOUR:MINUTE:SECOND UTC`,
    );
  }
  return { text: trimmed, utc, weekdays, ...parseDate(date), ...parseTime(time) };
}

function parseWeekdays(text: string): Allowed {
  const found = new Set<number>();
  for (const item of text.split(",").filter((each) => each !== "")) {
    const [from, to, ...more] = item.split(/\.\.|-/);
    if (from === undefined || more.length > 0) {
      throw new Refused(`has "${item}", which is no weekday or range such as Mon..Fri`);
    }
    const first = weekday(from);
    const last = to === undefined ? first : weekday(to);
    for (let day = first; ; day = (day + 1) % 7) {
      found.add(day);
      if (day === last) {
        break;
      }
    }
  }
  return sorted(found);
}

function weekday(name: string): number {
  const lower = name.toLowerCase();
  const index = weekdayNames.findIndex((each) => each === lower || each.slice(0, 3) === lower);
  if (index === -1) {
    throw new Refused(
      `has "${name}", which is neither a weekday such as Mon nor one of ${Object.keys(shorthands).join(", ")}`,
    );
  }
  return index;
}

function parseDate(
  text: string | undefined,
): Pick<CalendarExpression, "years" | "months" | "days" | "fromEnd"> {
  if (text === undefined) {
    return { years: null, months: range(1, 12), days: range(1, 31), fromEnd: false };
  }
  const match = /^(?:([^-~]+)-)?([^-~]+)([-~])([^-~]+)$/.exec(text);
  if (match === null) {
    throw new Refused(
      `has the date "${text}", which is not YEAR-MONTH-DAY, such as *-*-01, or YEAR-MONTH~DAY from the month's end`,
    );
  }
  const [, year, month = "", separator, day = ""] = match;
  return {
    years:
      year === undefined || year === "*"
        ? null
        : parseComponent(year, "year", 1970, LAST_YEAR, centuries),
    months: parseComponent(month, "month", 1, 12),
    days: parseComponent(day, "day", 1, 31),
    fromEnd: separator === "~",
  };
}

/** Two digits mean 1970 to 2069. */
function centuries(value: number): number {
  return value >= 100 ? value : value >= 70 ? 1900 + value : 2000 + value;
}

function parseTime(
  text: string | undefined,
): Pick<CalendarExpression, "hours" | "minutes" | "seconds"> {
  if (text === undefined) {
    return { hours: [0], minutes: [0], seconds: [0] };
  }
  const [hour, minute, second = "0", ...more] = text.split(":");
  if (hour === undefined || minute === undefined || more.length > 0) {
    throw new Refused(`has the time "${text}", which is not HOUR:MINUTE or HOUR:MINUTE:SECOND`);
  }
  if (/\d\.\d/.test(second)) {
    throw new Refused(`has fractions of a second in "${second}"; whole seconds are the finest`);
  }
  return {
    hours: parseComponent(hour, "hour", 0, 23),
    minutes: parseComponent(minute, "minute", 0, 59),
    seconds: parseComponent(second, "second", 0, 59),
  };
}

/** `*`, `5`, `1..5`, `0/15`, `1..31/2`, and lists of them. */
function parseComponent(
  text: string,
  name: string,
  least: number,
  most: number,
  complete: (value: number) => number = (value) => value,
): Allowed {
  const found = new Set<number>();
  const bounded = (digits: string): number => {
    const value = complete(Number(digits));
    if (value < least || value > most) {
      throw new Refused(`has the ${name} ${digits}; it goes from ${least} to ${most}`);
    }
    return value;
  };
  for (const item of text.split(",")) {
    const match = /^(?:(\*)|(\d{1,4})(?:\.\.(\d{1,4}))?)(?:\/(\d{1,4}))?$/.exec(item);
    if (match === null) {
      throw new Refused(
        `has the ${name} "${item}", which is not *, 5, 1..5, 0/15 or a list of such`,
      );
    }
    const [, all, from, to, step] = match;
    const first = all === undefined ? bounded(from ?? "") : least;
    const last =
      to !== undefined ? bounded(to) : all !== undefined || step !== undefined ? most : first;
    const by = step === undefined ? 1 : Number(step);
    if (by === 0) {
      throw new Refused(`repeats the ${name} every 0, in "${item}"`);
    }
    if (last < first) {
      throw new Refused(`has the ${name} "${item}", which ends before it begins`);
    }
    for (let value = first; value <= last; value += by) {
      found.add(value);
    }
  }
  return sorted(found);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function sorted(values: ReadonlySet<number>): Allowed {
  return [...values].sort((a, b) => a - b);
}

/** The first moment after `after` (milliseconds since 1970), or null when none comes any more. */
export function nextElapse(expression: CalendarExpression, after: number): number | null {
  const { utc } = expression;
  // Whole seconds: the next one that begins after `after`.
  const from = new Date(Math.floor(after / 1000) * 1000 + 1000);
  const first = utc
    ? [from.getUTCFullYear(), from.getUTCMonth(), from.getUTCDate()]
    : [from.getFullYear(), from.getMonth(), from.getDate()];
  const [year = 0, month = 0, day = 0] = first;
  for (let ahead = 0; ahead < SEARCHED_DAYS; ahead++) {
    // Noon: no clock change moves it to another day.
    const date = new Date(Date.UTC(year, month, day + ahead, 12));
    if (date.getUTCFullYear() > LAST_YEAR) {
      return null;
    }
    if (!dayMatches(expression, date)) {
      continue;
    }
    const moment = firstMomentOf(expression, date, from.getTime());
    if (moment !== null) {
      return moment;
    }
  }
  return null;
}

function dayMatches(expression: CalendarExpression, date: Date): boolean {
  const year = date.getUTCFullYear();
  const month = date.getUTCMonth() + 1;
  const lastDay = new Date(Date.UTC(year, month, 0)).getUTCDate();
  const day = expression.fromEnd ? lastDay - date.getUTCDate() + 1 : date.getUTCDate();
  return (
    (expression.years === null || expression.years.includes(year)) &&
    expression.months.includes(month) &&
    expression.days.includes(day) &&
    expression.weekdays.includes(date.getUTCDay())
  );
}

function firstMomentOf(expression: CalendarExpression, date: Date, from: number): number | null {
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  for (const hour of expression.hours) {
    for (const minute of expression.minutes) {
      for (const second of expression.seconds) {
        const at = expression.utc
          ? Date.UTC(year, month, day, hour, minute, second)
          : new Date(year, month, day, hour, minute, second).getTime();
        // The hour that summer time leaves out doesn't come on that day.
        if (at >= from && (expression.utc || new Date(at).getHours() === hour)) {
          return at;
        }
      }
    }
  }
  return null;
}
