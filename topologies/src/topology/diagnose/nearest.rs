//! "Did you mean": the known name that is nearest to an unknown one.
//!
//! Owns the measure; refuses to phrase it.

/// The candidate that `name` most probably is a slip of; none when all are too far off.
pub(in crate::topology) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', ' '], "-");
    let name = plain(name);
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= slips_max(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A third of the letters may be wrong, as in rustc, but one slip in a short name is forgiven.
fn slips_max(candidate: &str) -> usize {
    (candidate.chars().count() / 3).max(1)
}

/// Swapped letters are one slip; a name that was cut short or drawn out counts as one, too.
fn distance(name: &str, candidate: &str) -> usize {
    let cut = name.len() >= 3 && (candidate.starts_with(name) || name.starts_with(candidate));
    match strsim::damerau_levenshtein(name, candidate) {
        0 => 0,
        _ if cut && candidate.len() >= 3 => 1,
        slips => slips,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        let names = ["workers", "retries", "backoff", "timeout", "to", "step"];
        assert_eq!(nearest("wrokers", names), Some("workers"));
        assert_eq!(nearest("worker", names), Some("workers"));
        assert_eq!(nearest("timeout_ms", names), Some("timeout"));
        assert_eq!(nearest("Retries", names), Some("retries"));
        assert_eq!(nearest("factor_sum", ["factor-sum"]), Some("factor-sum"));
    }

    #[test]
    fn what_is_too_far_off_finds_none() {
        assert_eq!(nearest("colour", ["workers", "to"]), None);
        assert_eq!(nearest("x", ["to", "on"]), None);
    }
}
