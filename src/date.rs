//! Two forms in which AWS writes a time: HTTP's, and ISO 8601's of its XML.
//!
//! Written here because it is 40 lines, where the crates that read every form add kilobytes to the
//! Worker.
//!
//! Out of scope: the obsolete forms of HTTP, other zones than UTC, leap seconds, years before 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// In seconds since the epoch: from here on a year has more than the four digits that every form has.
pub(crate) const YEAR_10000: u64 = 253_402_300_800;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Fri, 02 Jan 2026 03:04:05 GMT`
///
/// <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>
pub(crate) fn parse_http(text: &str) -> Option<SystemTime> {
    let (_weekday, rest) = text.split_once(", ")?;
    let mut parts = rest.strip_suffix(" GMT")?.split(' ');
    let mut part = || parts.next();
    let (day, month, year, time) = (part()?, part()?, part()?, part()?);
    let month = (1..).zip(MONTHS).find(|(_, name)| *name == month)?.0;
    moment((number(year, 4)?, month, number(day, 2)?), time).filter(|_| parts.next().is_none())
}

/// `2026-01-02T03:04:05Z`, also with a fraction, which is dropped.
pub(crate) fn parse_iso(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.splitn(3, '-');
    let mut part = |digits| number(parts.next()?, digits);
    let time = time.split_once('.').map_or(time, |(time, _)| time);
    moment((part(4)?, part(2)?, part(2)?), time)
}

fn moment((year, month, day): (u64, u64, u64), time: &str) -> Option<SystemTime> {
    let mut parts = time.splitn(3, ':');
    let mut part = |most| number(parts.next()?, 2).filter(|number| *number <= most);
    let (hours, minutes, seconds) = (part(23)?, part(59)?, part(59)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=days_in(month, year)).contains(&day) {
        return None;
    }
    // Years that begin in March, so that a leap day is the last one.
    // https://howardhinnant.github.io/date_algorithms.html#days_from_civil
    let (years, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        years * 365 + years / 4 - years / 100 + years / 400 + (153 * month + 2) / 5 + day - 1;
    // From 1 March of the year 0 to the epoch.
    let days = days.checked_sub(719_468)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(((days * 24 + hours) * 60 + minutes) * 60 + seconds))
}

fn days_in(month: u64, year: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(time: Option<SystemTime>) -> Option<u64> {
        time.map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn both_forms() {
        for (http, iso, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", "2000-02-29T23:59:59Z", 951_868_799),
            ("Fri, 02 Jan 2026 03:04:05 GMT", "2026-01-02T03:04:05Z", 1_767_323_045),
            ("Thu, 29 Feb 2024 12:00:00 GMT", "2024-02-29T12:00:00.999Z", 1_709_208_000),
            ("Mon, 01 Mar 2100 00:00:00 GMT", "2100-03-01T00:00:00Z", 4_107_542_400),
            ("Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(seconds(parse_http(http)), Some(expected), "{http}");
            assert_eq!(seconds(parse_iso(iso)), Some(expected), "{iso}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 0;
        for year in 1970..2110 {
            for month in 1..=12 {
                for day in 1..=days_in(month, year) {
                    let text = format!("{year}-{month:02}-{day:02}T00:00:00Z");
                    assert_eq!(seconds(parse_iso(&text)), Some(expected * 86_400), "{text}");
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "Fri",
            "Friday, 02-Jan-26 03:04:05 GMT",
            "Fri Jan  2 03:04:05 2026",
            "Fri, 02 Jan 2026 03:04:05 UTC",
            "Fri, 02 Jan 2026 03:04:05 JST GMT",
            "Fri, 2 Jan 2026 03:04:05 GMT",
            "Fri, 32 Jan 2026 03:04:05 GMT",
            "Fri, 29 Feb 2100 03:04:05 GMT",
            "Fri, 02 jan 2026 03:04:05 GMT",
            "Fri, 02 Jan 1969 03:04:05 GMT",
            "Fri, 02 Jan 2026 24:00:00 GMT",
            "Fri, 02 Jan 2026 03:60:00 GMT",
            "Fri, 02 Jan 2026 03:04 GMT",
            "Fri, 02 Jan +026 03:04:05 GMT",
            "Fri, 02 Jan 2026 03:04:05:06 GMT",
        ] {
            assert_eq!(parse_http(text), None, "{text}");
        }
        for text in [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05+09:00",
            "2026-13-02T03:04:05Z",
            "2026-00-02T03:04:05Z",
            "2026-02-30T03:04:05Z",
            "2026-02-00T03:04:05Z",
            "20260102T030405Z",
            "99999-01-02T03:04:05Z",
        ] {
            assert_eq!(parse_iso(text), None, "{text}");
        }
    }
}
