//! The date of a cookie's `Expires`, read as leniently as browsers read it.

use crate::model::time::Timestamp;

/// RFC 6265bis, section 5.1.1; `None` if that algorithm fails.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        if time.is_none() {
            time = hours_minutes_seconds(token);
            if time.is_some() {
                continue;
            }
        }
        if day.is_none() {
            day = number(token, 1, 2);
            if day.is_some() {
                continue;
            }
        }
        if month.is_none() {
            month = month_of(token);
            if month.is_some() {
                continue;
            }
        }
        if year.is_none() {
            year = number(token, 2, 4);
        }
    }
    let (hour, minute, second) = time?;
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year if year < 1601 => return None,
        year => year,
    };
    let small = |number: i16| i8::try_from(number).ok();
    let at = jiff::civil::DateTime::new(
        year,
        month?,
        small(day?)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        0,
    )
    .ok()?;
    jiff::tz::Offset::UTC
        .to_timestamp(at)
        .ok()
        .map(|at| Timestamp(at.as_microsecond()))
}

fn is_delimiter(c: char) -> bool {
    matches!(c, '\t' | ' '..='/' | ';'..='@' | '['..='`' | '{'..='~')
}

/// Leading digits, from `least` to `most` of them, then no further digit.
fn number(token: &str, least: usize, most: usize) -> Option<i16> {
    let end = token
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(token.len());
    if (least..=most).contains(&end) {
        token.get(..end)?.parse().ok()
    } else {
        None
    }
}

fn hours_minutes_seconds(token: &str) -> Option<(i16, i16, i16)> {
    let mut parts = token.splitn(3, ':');
    let whole = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| number(part, 1, 2))
            .flatten()
    };
    let (hour, minute) = (whole(parts.next()?)?, whole(parts.next()?)?);
    Some((hour, minute, number(parts.next()?, 1, 2)?))
}

fn month_of(token: &str) -> Option<i8> {
    let start = token.get(..3)?;
    (1..)
        .zip([
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ])
        .find(|(_, name)| start.eq_ignore_ascii_case(name))
        .map(|(month, _)| month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_browsers_read_them() {
        let birth = "1994-11-06T08:49:37Z";
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(birth)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(birth)),
            ("Sun Nov  6 08:49:37 1994", Some(birth)),
            ("Sun, 6 november 1994 8:49:37 UTC", Some(birth)),
            ("1994 6 Nov 08:49:37junk", Some(birth)),
            ("Thu, 1 Jan 1970 00:00:00 GMT", Some("1970-01-01T00:00:00Z")),
            ("Thu, 01-Jan-70 00:00:01 GMT", Some("1970-01-01T00:00:01Z")),
            ("Fri, 01 Jan 69 00:00:00 GMT", Some("2069-01-01T00:00:00Z")),
            ("0", None),
            ("-1", None),
            ("", None),
            ("Sun, 06 Nov 1994", None),
            ("Sun, 31 Feb 2027 00:00:00 GMT", None),
            ("Sun, 06 Nov 1994 24:00:00 GMT", None),
            ("Sun, 06 Nov 1600 00:00:00 GMT", None),
            ("Sun, 006 Nov 94 00:00:00", None),
        ] {
            let expected = expected.map(|at| Timestamp::parse(at).unwrap());
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
