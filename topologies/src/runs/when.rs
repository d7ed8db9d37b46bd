//! Since when a run goes on, as people read it.
//!
//! Owns the form; refuses to know the time of anything.

use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};

/// A moment in seconds since 1970: `09:02` of today, else `2026-11-27 09:02`.
pub fn told(seconds: u64) -> String {
    written(seconds, &ZonedDateTime::now())
}

/// The same for programs: `2026-11-27T09:02:11Z`.
pub fn stamp(seconds: u64) -> String {
    moment(seconds).to_string()
}

fn moment(seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).ok();
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or_default()
}

fn written(seconds: u64, now: &ZonedDateTime) -> String {
    let zone: TimeZone = now.time_zone().clone();
    let at = moment(seconds).to_zoned_datetime(zone);
    match at.date() == now.date() {
        true => at.strftime("%H:%M").to_string(),
        false => at.strftime("%Y-%m-%d %H:%M").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_day_is_told_with_its_date() {
        let now = moment(1_795_748_400).to_zoned_datetime(TimeZone::UTC);
        assert_eq!(written(1_795_748_400 - 3_600, &now), "02:00");
        assert_eq!(written(1_795_748_400 - 86_400, &now), "2026-11-26 03:00");
        assert_eq!(stamp(1_795_748_400), "2026-11-27T03:00:00Z");
    }
}
