//! Puts the results of units that were tried again in their places, at the end of the run.
//!
//! Owns the order in which that happens: the output is written anew beside the old one and made safe;
//! one transaction of the run directory says that it counts; then it takes the old one's name. A kill
//! before the transaction leaves the old output, a kill behind it the new one, once the run directory is
//! opened the next time. Refuses outputs other than files: there the places are not known.

use super::{error::RecordError, retry, run_dir::RunDir};
use crate::{
    ledger::{
        Ledger,
        again::{Again, Placing},
        checkpoint::Checkpoint,
    },
    letter::DeadLetter,
    output::{self, claim::Claim, moved::Moves},
};

/// Moves what is to be moved in a run whose last checkpoint is all there is, and whose outputs are
/// closed.
///
/// # Errors
/// [`RecordError`] when an output or the run directory fails.
pub(super) fn settle(
    run_dir: &RunDir,
    ledger: &mut Ledger,
    claim: &Claim,
) -> Result<(), RecordError> {
    let Some(mut checkpoint) = run_dir.fact::<Checkpoint>("checkpoint")? else { return Ok(()) };
    let again = std::mem::take(&mut checkpoint.again);
    let is_done = again.places.keys().all(|unit| ledger.taken().contains(*unit));
    // A run that is stopped before goes on behind, and comes here once more.
    if again.placing != Placing::InPlace || !is_done {
        return Ok(());
    }
    let Again { moves, had_late, .. } = again;
    let header_bytes = checkpoint.output.as_ref().map_or(0, output::header_bytes);
    let has_moves = !moves.is_empty();
    let moves = Moves::new(moves, header_bytes);
    let (file, mut letters) = retry::letters(run_dir)?;
    for letter in &mut letters {
        letter.offset_bytes = letter.offset_bytes.map(|place| moves.moved_place(letter.id, place));
    }
    letters.sort_by(|a, b| (a.id, &a.path).cmp(&(b.id, &b.path)));
    let path = ledger.config().output.as_ref().and_then(|spec| spec.path().map(ToOwned::to_owned));
    let swap = match path.filter(|_| has_moves) {
        Some(path) => Some(output::moved::draft(&path, &moves, claim)?),
        None => None,
    };
    let text = DeadLetter::lines(&letters);
    checkpoint.late = had_late;
    checkpoint.dead.bytes = text.len() as u64;
    run_dir.record_letters(&checkpoint, (&file, &text), swap.as_ref())?;
    ledger.settled(had_late);
    Ok(())
}
