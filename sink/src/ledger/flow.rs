//! How far units got: what passed through each stage, of what is committed.
//!
//! Owns the numbers of units that ended before the last stage's output; everything else follows
//! from them and the whole. A unit of the source counts once in each stage that it, or one of the
//! outputs that it became, has reached.
#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        reason = "as long as the index, which is bounded by the number of stages"
    )
)]

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use crate::report::summary::StageFlow;

/// Units that ended in one stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ended {
    filtered: u64,
    dead: u64,
}

/// Where units ended, by stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    ended: Vec<Ended>,
}

impl Flow {
    /// So many units came out of this stage as nothing. `stages` is how many there are: a peer may
    /// say any number.
    pub fn filtered(&mut self, stage: u32, stages: usize, units: u64) {
        self.at(stage, stages).filtered += units;
    }

    /// A unit failed for good in this stage.
    pub fn dead(&mut self, stage: u32, stages: usize) {
        self.at(stage, stages).dead += 1;
    }

    /// A unit that failed for good in this stage is tried again.
    pub fn revived(&mut self, stage: usize) {
        if let Some(ended) = self.ended.get_mut(stage) {
            ended.dead = ended.dead.saturating_sub(1);
        }
    }

    fn at(&mut self, stage: u32, stages: usize) -> &mut Ended {
        let stage = (stage as usize).min(stages.saturating_sub(1));
        if self.ended.len() <= stage {
            self.ended.resize(stage + 1, Ended::default());
        }
        &mut self.ended[stage]
    }

    /// What passed through the stages of these names, when so many units came out how.
    pub fn stages(&self, names: &[String], counts: Counts) -> Vec<StageFlow> {
        let mut units_in = counts.results + counts.filtered + counts.dead;
        let stages = names.iter().enumerate().map(|(index, name)| {
            let Ended { filtered, dead } = self.ended.get(index).copied().unwrap_or_default();
            let results = units_in.saturating_sub(filtered + dead);
            let flow = StageFlow { name: name.clone(), units_in, results, filtered, dead };
            units_in = results;
            flow
        });
        stages.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(flow: &Flow, counts: Counts) -> Vec<(u64, u64, u64, u64)> {
        let names = ["a", "b"].map(String::from);
        let stages = flow.stages(&names, counts);
        stages.iter().map(|s| (s.units_in, s.results, s.filtered, s.dead)).collect()
    }

    #[test]
    fn what_leaves_one_stage_is_what_the_next_one_gets() {
        let mut flow = Flow::default();
        flow.filtered(0, 2, 3);
        flow.dead(1, 2);
        flow.dead(1, 2);
        let counts = Counts { results: 5, outputs: 9, filtered: 3, dead: 2 };
        assert_eq!(told(&flow, counts), [(10, 7, 3, 0), (7, 5, 0, 2)]);
        flow.revived(1);
        let counts = Counts { results: 6, dead: 1, ..counts };
        assert_eq!(told(&flow, counts), [(10, 7, 3, 0), (7, 6, 0, 1)]);
    }

    #[test]
    fn a_stage_that_there_is_not_is_taken_for_the_last() {
        let mut flow = Flow::default();
        flow.filtered(u32::MAX, 2, 1);
        let counts = Counts { filtered: 1, ..Counts::default() };
        assert_eq!(told(&flow, counts), [(1, 1, 0, 0), (1, 0, 1, 0)]);
    }
}
