//! Dates as mail writes them, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// RFC 5322 section 3.3: `Mon, 23 Nov 2026 07:05:09 +0000`.
pub(super) fn mail(time: SystemTime) -> String {
    let Date { year, month, day, weekday, hour, minute, second } = Date::from(time);
    format!("{weekday}, {day} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
}

/// RFC 3501 section 9, `date-time`: ` 3-Nov-2026 07:05:09 +0000`.
pub(super) fn internal(time: SystemTime) -> String {
    let Date { year, month, day, hour, minute, second, .. } = Date::from(time);
    format!("{day:2}-{month}-{year} {hour:02}:{minute:02}:{second:02} +0000")
}

struct Date {
    year: u64,
    month: &'static str,
    day: u64,
    weekday: &'static str,
    hour: u64,
    minute: u64,
    second: u64,
}

impl From<SystemTime> for Date {
    fn from(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut days = seconds / 86_400;
        let weekday = WEEKDAYS[(days % 7) as usize];
        let is_leap =
            |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let mut year = 1970;
        while days >= 365 + u64::from(is_leap(year)) {
            days -= 365 + u64::from(is_leap(year));
            year += 1;
        }
        let mut months =
            MONTHS.iter().map(|&(name, length)| (name, length + u64::from(name == "Feb" && is_leap(year))));
        let mut month = "Jan";
        for (name, length) in &mut months {
            month = name;
            if days < length {
                break;
            }
            days -= length;
        }
        let of_day = seconds % 86_400;
        Self {
            year,
            month,
            day: days + 1,
            weekday,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }
}

/// The first day of 1970 was a Thursday.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

const MONTHS: [(&str, u64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, expected) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (951_868_800, "Wed, 1 Mar 2000 00:00:00 +0000"),
            (1_795_475_109, "Mon, 23 Nov 2026 23:05:09 +0000"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
            (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
        ] {
            assert_eq!(mail(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
        assert_eq!(internal(UNIX_EPOCH + Duration::from_secs(31_535_999)), "31-Dec-1970 23:59:59 +0000");
        assert_eq!(internal(UNIX_EPOCH), " 1-Jan-1970 00:00:00 +0000");
    }
}
