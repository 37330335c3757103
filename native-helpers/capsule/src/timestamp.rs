//! The wall clock as ISO 8601 in UTC, for the record files.

use rustix::time::{ClockId, clock_gettime};

/// Now, as `2026-11-23T18:04:54.123Z`.
pub fn now() -> String {
    let now = clock_gettime(ClockId::Realtime);
    format(now.tv_sec, now.tv_nsec / 1_000_000)
}

fn format(seconds: i64, milliseconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a proleptic Gregorian date, counting years from March so that leap days come last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{milliseconds:03}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_around_leap_days() {
        assert_eq!(super::format(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(super::format(951_782_400, 5), "2000-02-29T00:00:00.005Z");
        assert_eq!(super::format(951_868_799, 0), "2000-02-29T23:59:59.000Z");
        assert_eq!(super::format(1_795_457_094, 999), "2026-11-23T18:04:54.999Z");
        assert_eq!(super::format(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }
}
