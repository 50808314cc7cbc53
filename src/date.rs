//! The forms in which AWS and HTTP write a time.
//!
//! The calendar is the `time` crate's. Its parser reads any form from a description and would add 9 KiB to the
//! upload; these forms are fixed.
//!
//! Out of scope: the obsolete forms of HTTP, other zones than UTC, leap seconds, years before 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{Date, Month, OffsetDateTime};

/// The start of the year 10000 in seconds since the epoch. Every form below has four digits for the year.
pub(crate) const YEAR_10000: u64 = 253_402_300_800;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Parses HTTP's form: `Fri, 02 Jan 2026 03:04:05 GMT`.
///
/// <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>
pub(crate) fn parse_http(text: &str) -> Option<SystemTime> {
    let (_weekday, rest) = text.split_once(", ")?;
    let mut parts = rest.strip_suffix(" GMT")?.split(' ');
    let mut part = || parts.next();
    let (day, month, year, time) = (part()?, part()?, part()?, part()?);
    let month = (1..).zip(MONTHS).find(|(_, name)| *name == month)?.0;
    let date = (number(year, 4)?, month, number(day, 2)?);
    let time = utc(date, clock(time, ':')?).filter(|_| parts.next().is_none())?;
    Some(from_seconds(time))
}

/// Parses the form of AWS's XML: `2026-01-02T03:04:05Z`. A fraction of a second is dropped.
pub(crate) fn parse_iso(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.splitn(3, '-');
    let mut part = |digits| number(parts.next()?, digits);
    let time = time.split_once('.').map_or(time, |(time, _)| time);
    utc((part(4)?, part(2)?, part(2)?), clock(time, ':')?).map(from_seconds)
}

/// Parses the form of `x-amz-date` into seconds since the epoch: `20260102T030405Z`.
pub(crate) fn parse_amz(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let part = |text: &str, from: usize, digits| number(text.get(from..from + digits)?, digits);
    let is_whole = date.len() == 8 && time.len() == 6;
    let date = (part(date, 0, 4)?, part(date, 4, 2)?, part(date, 6, 2)?);
    utc(date, (part(time, 0, 2)?, part(time, 2, 2)?, part(time, 4, 2)?)).filter(|_| is_whole)
}

/// Writes a time in the form of RFC 3339, in whole seconds: `2026-01-02T03:04:05Z`.
pub(crate) fn to_iso(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time.min(from_seconds(YEAR_10000 - 1)));
    let (hour, minute, second) = time.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", time.date())
}

/// Writes seconds since the epoch in the form of `x-amz-date`.
pub(crate) fn to_amz(seconds: u64) -> String {
    let time = OffsetDateTime::from(from_seconds(seconds));
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Returns the time from `now` until the day ends in UTC.
pub(crate) fn rest_of_day(now: SystemTime) -> Duration {
    const DAY: u64 = 24 * 60 * 60;
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Duration::from_secs(DAY - seconds % DAY)
}

/// Returns the time that is so many seconds after the epoch.
pub(crate) fn from_seconds(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn clock(text: &str, separator: char) -> Option<(u32, u32, u32)> {
    let mut parts = text.splitn(3, separator);
    let mut part = || number(parts.next()?, 2);
    Some((part()?, part()?, part()?))
}

/// Returns seconds since the epoch.
fn utc(
    (year, month, day): (u32, u32, u32),
    (hour, minute, second): (u32, u32, u32),
) -> Option<u64> {
    let small = |number| u8::try_from(number).ok();
    let month = Month::try_from(small(month)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, small(day)?).ok()?;
    let time = date.with_hms(small(hour)?, small(minute)?, small(second)?).ok()?;
    u64::try_from(time.assume_utc().unix_timestamp()).ok()
}

fn number(text: &str, digits: usize) -> Option<u32> {
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
    fn the_forms_of_http_and_of_xml_are_read() {
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
            for month in 1..=12_u8 {
                for day in 1..=Month::try_from(month).unwrap().length(year) {
                    let text = format!("{year}-{month:02}-{day:02}T00:00:00Z");
                    assert_eq!(seconds(parse_iso(&text)), Some(expected * 86_400), "{text}");
                    let amz = text.replace(['-', ':'], "");
                    assert_eq!(parse_amz(&amz), Some(expected * 86_400), "{amz}");
                    assert_eq!(to_amz(expected * 86_400), amz);
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn a_text_of_another_form_is_refused() {
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
        for text in [
            "",
            "20260102",
            "20260102T030405",
            "2026-01-02T03:04:05Z",
            "20261302T030405Z",
            "20260102T240000Z",
            "20260102T03045Z",
            "20260102T0304055Z",
            "2026010T2030405Z",
        ] {
            assert_eq!(parse_amz(text), None, "{text}");
        }
    }
}
