// Points in time, both ways an admin asks for them: when exactly (local time, 24 hours, no doubt
// about the day) and how long ago.
import { formatSpan } from "./quantities.js";

const MONTHS = [
  "Jan",
  "Feb",
  "Mar",
  "Apr",
  "May",
  "Jun",
  "Jul",
  "Aug",
  "Sep",
  "Oct",
  "Nov",
  "Dec",
] as const;
const DAY_MS = 86_400_000;

/** "14:02:11" */
export function clockTime(timestamp: string): string {
  const at = new Date(timestamp);
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(":");
}

/** "Today", "Yesterday", "21 Nov", "3 Feb 2025" */
export function dayName(timestamp: string, now: number): string {
  const at = new Date(timestamp);
  const today = new Date(now);
  const daysAgo = Math.round((startOfDay(today) - startOfDay(at)) / DAY_MS);
  if (daysAgo === 0) return "Today";
  if (daysAgo === 1) return "Yesterday";
  const day = `${at.getDate()} ${MONTHS[at.getMonth()] ?? ""}`;
  return at.getFullYear() === today.getFullYear() ? day : `${day} ${at.getFullYear()}`;
}

/** "23 Nov 2026, 14:02:11" */
export function fullMoment(timestamp: string): string {
  const at = new Date(timestamp);
  return `${at.getDate()} ${MONTHS[at.getMonth()] ?? ""} ${at.getFullYear()}, ${clockTime(timestamp)}`;
}

/** "today, 14:02:11", in the middle of a sentence. */
export function dayAndTimeWithin(timestamp: string, now: number): string {
  const words = dayAndTime(timestamp, now);
  return /^(Today|Yesterday)/.test(words) ? words.charAt(0).toLowerCase() + words.slice(1) : words;
}

/** "Today, 14:02:11" */
export function dayAndTime(timestamp: string, now: number): string {
  return `${dayName(timestamp, now)}, ${clockTime(timestamp)}`;
}

/** "just now", "40 s ago", "3 min ago", "2 h ago", "5 d ago": one unit, for a column of them. */
export function howLongAgo(timestamp: string, now: number): string {
  const seconds = Math.floor((now - Date.parse(timestamp)) / 1000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds - (seconds % 5)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** How long something has lasted: "2 min 5 s". */
export function lastedSince(timestamp: string, now: number): string {
  return formatSpan(now - Date.parse(timestamp));
}

function startOfDay(date: Date): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
