//! Values of directives (spec/config.md section 3), as pure functions on words.

use std::time::Duration;

/// No deadline lies further ahead than a hundred years: clocks must be able to count to it.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Decimal digits, up to 2^63-1.
pub(super) fn number(word: &str) -> Option<u64> {
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    word.parse().ok().filter(|&number| i64::try_from(number).is_ok())
}

/// A number of bytes, with `k` or `m` behind it for units of 1024 or 1048576.
pub(super) fn size(word: &str) -> Option<u64> {
    scaled(word, &[('k', 1 << 10), ('m', 1 << 20)])
}

/// [`size`] that also takes `g`.
pub(super) fn offset(word: &str) -> Option<u64> {
    scaled(word, &[('k', 1 << 10), ('m', 1 << 20), ('g', 1 << 30)])
}

fn scaled(word: &str, units: &[(char, u64)]) -> Option<u64> {
    let has_unit = |&&(letter, _): &&(char, u64)| word.ends_with([letter, letter.to_ascii_uppercase()]);
    let (digits, unit) = match units.iter().find(has_unit) {
        Some(&(_, unit)) => (&word[..word.len() - 1], unit),
        None => (word, 1),
    };
    number(digits)?.checked_mul(unit).filter(|&bytes| i64::try_from(bytes).is_ok())
}

/// Groups of a number and a unit, the larger units first. A number without unit counts seconds, units go down to `ms`.
pub(super) fn time_ms(word: &str) -> Option<Duration> {
    time(word, Rank::Month, Rank::Milli)
}

/// [`time_ms`] with years and months and without milliseconds.
pub(super) fn time_s(word: &str) -> Option<Duration> {
    time(word, Rank::Start, Rank::Second)
}

/// Units from large to small; each must be behind the one before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Start,
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Milli,
    Last,
}

fn time(word: &str, before: Rank, smallest: Rank) -> Option<Duration> {
    const SECOND: u64 = 1000;
    const DAY: u64 = 24 * 60 * 60 * SECOND;
    let mut rank = before;
    let mut total = 0_u64;
    let mut rest = word.as_bytes();
    let mut has_digit = false;
    loop {
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, tail) = rest.split_at(count);
        has_digit |= count > 0;
        let value = if count == 0 { 0 } else { number(str::from_utf8(digits).ok()?)? };
        let (next, scale, tail) = match tail {
            [] => {
                let total = total.checked_add(value.checked_mul(SECOND)?)?;
                return has_digit.then(|| Duration::from_millis(total).min(LONGEST));
            }
            [b'm', b's', tail @ ..] => (Rank::Milli, 1, tail),
            [b'y', tail @ ..] => (Rank::Year, 365 * DAY, tail),
            [b'M', tail @ ..] => (Rank::Month, 30 * DAY, tail),
            [b'w', tail @ ..] => (Rank::Week, 7 * DAY, tail),
            [b'd', tail @ ..] => (Rank::Day, DAY, tail),
            [b'h', tail @ ..] => (Rank::Hour, 60 * 60 * SECOND, tail),
            [b'm', tail @ ..] => (Rank::Minute, 60 * SECOND, tail),
            [b's', tail @ ..] => (Rank::Second, SECOND, tail),
            // A blank directly behind the number closes the seconds.
            [b' ', tail @ ..] if rank < Rank::Second => (Rank::Last, SECOND, tail),
            _ => return None,
        };
        if next <= rank || (next > smallest && next != Rank::Last) {
            return None;
        }
        rank = next;
        total = total.checked_add(value.checked_mul(scale)?)?;
        let blanks = tail.iter().take_while(|&&byte| byte == b' ').count();
        rest = &tail[blanks..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: &str = "9223372036854775807";
    const TOO_BIG: &str = "9223372036854775808";

    #[test]
    fn numbers() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("007"), Some(7));
        assert_eq!(number(MAX), Some(i64::MAX.unsigned_abs()));
        for wrong in
            ["", "-1", "+1", " 1", "1 ", "1k", "0x1", "1.0", TOO_BIG, "99999999999999999999999", "\u{661}"]
        {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn sizes() {
        for (word, bytes) in
            [("0", 0), ("512", 512), ("4k", 4096), ("4K", 4096), ("1m", 1 << 20), ("2M", 2 << 20)]
        {
            assert_eq!(size(word), Some(bytes), "{word}");
        }
        for wrong in ["", "k", "1g", "1kb", "-1k", "1.5m", "9007199254740992k", TOO_BIG] {
            assert_eq!(size(wrong), None, "{wrong:?}");
        }
        assert_eq!(offset("2g"), Some(2 << 30));
        assert_eq!(offset("2G"), Some(2 << 30));
        assert_eq!(offset("8589934592g"), None);
    }

    #[test]
    fn times_in_milliseconds() {
        for (word, milliseconds) in [
            ("0", 0),
            ("60", 60_000),
            ("60000", 60_000_000),
            ("500ms", 500),
            ("1s500ms", 1500),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1h 30", 3_630_000),
            ("1w 2d 3h 4m 5s 6ms", 788_645_006),
            ("5 ", 5000),
            ("1 2", 3000),
        ] {
            assert_eq!(time_ms(word), Some(Duration::from_millis(milliseconds)), "{word:?}");
        }
        for wrong in
            ["", " ", "-1", "1.5s", "1m1h", "1m1m", "1s 1s", "1y", "1M", "x", "1x", "s1ms 1s", TOO_BIG]
        {
            assert_eq!(time_ms(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn times_in_seconds() {
        for (word, seconds) in
            [("1y", 31_536_000), ("1M", 2_592_000), ("5m", 300), ("1y1M1w1d1h1m1s", 34_822_861)]
        {
            assert_eq!(time_s(word), Some(Duration::from_secs(seconds)), "{word:?}");
        }
        for wrong in ["500ms", "1s1ms", "1M1y", ""] {
            assert_eq!(time_s(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn no_time_outlasts_a_clock() {
        assert_eq!(time_ms("9223372036854775"), Some(LONGEST));
        assert_eq!(time_s("300000y"), Some(LONGEST));
        assert_eq!(time_ms(MAX), None);
    }
}
