//! Times as people say and read them: in their own time zone, and how far away.

use std::time::Duration;

use jiff::{civil, tz::TimeZone};

use super::failure::Failure;
use crate::{config::Span, model::time::Timestamp, service::WindowAsk};

/// Reads a time: RFC 3339, or local `2026-11-24 14:15`, or `14:15` for today.
///
/// # Errors
/// It is no time.
pub fn parse_time(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Failure> {
    let text = text.trim();
    if let Ok(at) = Timestamp::parse(text) {
        return Ok(at);
    }
    let local = text.parse::<civil::DateTime>().ok().or_else(|| {
        let time: civil::Time = text.parse().ok()?;
        Some(civil::DateTime::from_parts(local(now, zone)?.date(), time))
    });
    local
        .and_then(|local| zone.to_timestamp(local).ok())
        .map(|at| Timestamp(at.as_microsecond()))
        .ok_or_else(|| {
            Failure::usage(format!(
                "`{text}` is not a time: write it like `14:15`, `2026-11-24 14:15` or `2026-11-24T14:15:00Z`"
            ))
        })
}

/// The window that `--for`, `--from` and `--until` ask for.
///
/// # Errors
/// A time cannot be read, or the window ends before it starts.
pub fn window(
    length: Option<Span>,
    from: Option<&str>,
    until: Option<&str>,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<WindowAsk, Failure> {
    let read = |text: Option<&str>| text.map(|text| parse_time(text, now, zone)).transpose();
    let (start, end) = (read(from)?, read(until)?);
    if length.is_some() && end.is_some() {
        return Err(Failure::usage(
            "the window's end must be said once: `--for 15m` or `--until 14:15`",
        ));
    }
    if let Some(end) = end
        && end <= start.unwrap_or(now)
    {
        return Err(Failure::usage(format!(
            "the window ends ({}) before it starts ({})",
            clock(end, now, zone),
            clock(start.unwrap_or(now), now, zone)
        ))
        .advise("give `--until` a later time than `--from`, or a date with it"));
    }
    Ok(WindowAsk {
        start,
        end,
        duration: length,
    })
}

/// `14:15` today, `Nov 24 14:15` otherwise, with the year when it is another.
pub fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (Some(at), Some(today)) = (local(at, zone), local(now, zone)) else {
        return at.to_string();
    };
    let pattern = if at.date() == today.date() {
        "%H:%M"
    } else if at.year() == today.year() {
        "%b %d %H:%M"
    } else {
        "%Y-%m-%d %H:%M"
    };
    at.strftime(pattern).to_string()
}

/// `14:15, in 12 min` or `14:15, 3 h ago`.
pub fn relative(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let clock = clock(at, now, zone);
    let text = if at > now {
        format!("in {}", length(now.until(at)))
    } else {
        format!("{} ago", length(at.until(now)))
    };
    format!("{clock}, {text}")
}

/// `40 s`, `12 min`, `3 h`, `2 days`: rounded down, as time left should be.
pub fn length(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn local(at: Timestamp, zone: &TimeZone) -> Option<civil::DateTime> {
    jiff::Timestamp::from_microsecond(at.0)
        .ok()
        .map(|at| zone.to_datetime(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(2))
    }

    #[test]
    fn times_are_read_in_the_zone_of_the_reader() {
        let now = at("2026-11-24T10:00:00Z");
        for (text, expected) in [
            ("14:15", "2026-11-24T12:15:00Z"),
            ("2026-11-25 08:00", "2026-11-25T06:00:00Z"),
            ("2026-11-25T08:00", "2026-11-25T06:00:00Z"),
            ("2026-11-25T08:00:00Z", "2026-11-25T08:00:00Z"),
        ] {
            assert_eq!(parse_time(text, now, &zone()), Ok(at(expected)), "{text}");
        }
        for text in ["", "noon", "25:00", "15m"] {
            assert!(parse_time(text, now, &zone()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_window_ends_once_and_after_its_start() {
        let now = at("2026-11-24T10:00:00Z");
        let ask = |length, from, until| window(length, from, until, now, &zone());
        let quarter = Some(Span::seconds(900));
        assert_eq!(ask(quarter, None, None).unwrap().duration, quarter);
        assert_eq!(
            ask(None, Some("14:00"), Some("14:15")),
            Ok(WindowAsk {
                start: Some(at("2026-11-24T12:00:00Z")),
                end: Some(at("2026-11-24T12:15:00Z")),
                duration: None,
            })
        );
        for (length, from, until) in [
            (quarter, None, Some("14:15")),
            (None, Some("14:15"), Some("14:00")),
            (None, Some("14:15"), Some("14:15")),
            (None, None, Some("11:59")),
            (None, Some("soon"), None),
        ] {
            assert!(ask(length, from, until).is_err(), "{from:?} {until:?}");
        }
    }

    #[test]
    fn times_are_shown_with_their_distance() {
        let now = at("2026-11-24T10:00:00Z");
        for (time, expected) in [
            ("2026-11-24T10:12:40Z", "12:12, in 12 min"),
            ("2026-11-24T07:00:00Z", "09:00, 3 h ago"),
            ("2026-11-28T10:00:00Z", "Nov 28 12:00, in 4 days"),
            ("2025-11-24T10:00:00Z", "2025-11-24 12:00, 365 days ago"),
        ] {
            assert_eq!(relative(at(time), now, &zone()), expected);
        }
    }
}
