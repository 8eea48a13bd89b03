//! Reads `2026-11-24T12:00:00.5+01:00` without raising: the server's own reader has no way to answer "no" before 16. And
//! writes it.

/// Days from 2000-01-01 to a date of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_years = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    of_years + (month * 153 + 2) / 5 + day - 1 - 730_425
}

/// The date that is so many days after 2000-01-01.
pub fn date(day: i64) -> (i64, i64, i64) {
    // Years that begin in March, and the days of 400, 100, 4 and 1 of them (the last of each span is a day longer).
    let from_march = day + 730_425;
    let (era, of_era) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (year, day) = (era * 400 + year, of_year - (153 * month + 2) / 5 + 1);
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

/// How many days a month has.
fn days_in(year: i64, month: i64) -> i64 {
    let next = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
    next - days(year, month, 1)
}

/// Takes `width` digits off the front.
fn digits(text: &mut &str, width: usize) -> Option<i64> {
    let (number, rest) = text.split_at_checked(width)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    *text = rest;
    number.parse().ok()
}

/// Takes one of these characters off the front.
fn one_of(text: &mut &str, allowed: &[char]) -> Option<char> {
    let first = text.chars().next().filter(|c| allowed.contains(c))?;
    *text = &text[first.len_utf8()..];
    Some(first)
}

/// A number of two digits no larger than `most`.
fn up_to(text: &mut &str, most: i64) -> Option<i64> {
    digits(text, 2).filter(|number| *number <= most)
}

/// Microseconds of the fraction at the front, if one is there; more than six digits are cut off.
fn fraction(text: &mut &str) -> Option<i64> {
    if one_of(text, &['.', ',']).is_none() {
        return Some(0);
    }
    let width = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(width);
    *text = rest;
    let micros: String = number.chars().chain("000000".chars()).take(6).collect();
    if width == 0 { None } else { micros.parse().ok() }
}

/// Seconds east of UTC. A time without a zone would mean another moment for each reader, so there has to be one.
fn offset(text: &mut &str) -> Option<i64> {
    match one_of(text, &['Z', 'z', '+', '-'])? {
        'Z' | 'z' => Some(0),
        sign => {
            let hours = up_to(text, 15)?;
            let _ = one_of(text, &[':']);
            let minutes = if text.is_empty() { 0 } else { up_to(text, 59)? };
            let seconds = hours * 3600 + minutes * 60;
            Some(if sign == '-' { -seconds } else { seconds })
        }
    }
}

/// Microseconds since 2000-01-01 UTC.
pub fn parse(text: &str) -> Option<i64> {
    let rest = &mut text.trim();
    let year = digits(rest, 4)?;
    one_of(rest, &['-'])?;
    let month = up_to(rest, 12).filter(|month| *month > 0)?;
    one_of(rest, &['-'])?;
    let day = up_to(rest, days_in(year, month)).filter(|day| *day > 0)?;
    one_of(rest, &['T', 't', ' '])?;
    let hour = up_to(rest, 23)?;
    one_of(rest, &[':'])?;
    let minute = up_to(rest, 59)?;
    let second = if one_of(rest, &[':']).is_some() { up_to(rest, 60)? } else { 0 };
    let micros = fraction(rest)?;
    let east = offset(rest)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - east;
    rest.is_empty().then_some(seconds * 1_000_000 + micros)
}

/// A moment in microseconds since 2000-01-01 UTC, in UTC, with all of its digits.
pub fn utc(moment: i64) -> String {
    let (seconds, micros) = (moment.div_euclid(1_000_000), moment.rem_euclid(1_000_000));
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::{date, days, days_in, parse, utc};

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        assert_eq!(utc(0), "2000-01-01T00:00:00.000000Z");
        for moment in [-1, 1, 86_399_999_999, 86_400_000_000, 848_837_025_000_123] {
            assert_eq!(parse(&utc(moment)), Some(moment), "{}", utc(moment));
        }
    }

    #[test]
    fn a_date_and_its_day_lead_to_each_other() {
        for day in -80_000..200_000 {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), day, "{year}-{month}-{of_month}");
            assert!((1..=12).contains(&month) && (1..=days_in(year, month)).contains(&of_month), "{day}");
        }
        assert_eq!(date(0), (2000, 1, 1));
    }

    #[test]
    fn the_epoch_of_the_server_is_zero() {
        assert_eq!(parse("2000-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("2000-01-01 01:00:00.5+01:00"), Some(500_000));
        assert_eq!(parse("1999-12-31T19:00-05"), Some(0));
    }

    #[test]
    fn leap_days_are_where_they_belong() {
        assert_eq!(parse("2000-03-01T00:00:00Z"), Some(60 * 86_400_000_000));
        assert_eq!(parse("2023-02-29T00:00:00Z"), None);
        assert!(parse("2024-02-29T00:00:00Z").is_some());
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in
            ["", "tomorrow", "2026-11-24", "2026-11-24T10:00:00", "2026-13-01T00:00:00Z", "2026-11-24T10:00:00Zx"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
