//! Handing units to workers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::frame::{Credit, Done, Failed};
use proto::limits::Limits;
use proto::plan::{Function, Stage};
use proto::ranges::RangeSet;
use proto::role::Turn;
use proto::rules::dispatch::{Dispatch, Instruction};
use proto::rules::mesh::Loss;
use proto::time::Time;
use proto::units::Units;

use super::script::{Script, about, note};

const LOSSES: [Loss; 7] = [
    Loss::Disconnected,
    Loss::Silent,
    Loss::Gap,
    Loss::Reset,
    Loss::Replaced,
    Loss::Asleep,
    Loss::Overdrawn,
];

struct Scene {
    dispatch: Dispatch,
    now: Time,
    committed: RangeSet,
    next: u64,
    added: BTreeSet<u64>,
    links: BTreeMap<u32, Vec<(u64, usize)>>,
    // What somebody was sent last, and what was given up for good.
    sent: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    seen: u64,
}

/// Workers that come, go, fail, lie, are slow and quiet: whatever happens, each unit is sent, dead or
/// committed in the end, and nothing is kept for ever.
pub fn dispatch(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let limits = Limits {
        parcel_units_max: 1 + script.below(40) as u32,
        parcel_bytes_max: 1 + script.below(60),
        ..Limits::default()
    };
    let stage = Stage {
        retries: script.below(3) as u32,
        crash_limit: script.below(4) as u32,
        ..Stage::new("s", Function::Own)
    };
    let mut scene = Scene {
        dispatch: Dispatch::new(0, &stage, &limits),
        now: Time::from_ms(1),
        committed: RangeSet::new(),
        next: 0,
        added: BTreeSet::new(),
        links: BTreeMap::new(),
        sent: BTreeSet::new(),
        dead: BTreeSet::new(),
        seen: 0,
    };
    while !script.is_over() {
        scene.step(script);
    }
    scene.ends_well();
    scene.seen
}

impl Scene {
    fn step(&mut self, script: &mut Script<'_>) {
        let link = script.below(4) as u32;
        let mut orders = Vec::new();
        match script.below(15) {
            0 => {
                let count = script.below(24) as u32;
                let units =
                    Units::from_source(self.next, vec![1; count as usize], (1..=count).collect());
                self.added.extend(self.next..self.next + u64::from(count));
                self.next += u64::from(count) + script.below(2);
                self.dispatch.add(units);
            }
            1 if !self.links.contains_key(&link) => {
                self.links.insert(link, Vec::new());
                self.dispatch.join(link, "w");
            }
            1 | 2 => {
                let units = script.number();
                self.dispatch.granted(link, Credit { units, bytes: script.number() });
            }
            3 => self.dispatch.leaving(link),
            4 => {
                self.links.remove(&link);
                let loss = LOSSES[script.below(7) as usize];
                self.dispatch.lost(
                    &mut Turn::new(self.now, &mut orders),
                    link,
                    loss,
                    &self.committed,
                );
            }
            5 => {
                let parcel = self.parcel(link, script);
                let keep = script.number32();
                self.dispatch.returned(link, parcel, keep, &self.committed);
            }
            6..8 => {
                let parcel = self.parcel(link, script);
                let failed = (0..script.below(4))
                    .map(|_| Failed { index: script.number32() % 64, error: "e".into() })
                    .collect();
                let done = Done { parcel, busy_ns: script.number(), failed };
                for failed in &done.failed {
                    let _ = self.dispatch.unit_of(link, parcel, failed.index);
                }
                self.dispatch.done(
                    &mut Turn::new(self.now, &mut orders),
                    link,
                    &done,
                    &self.committed,
                );
            }
            8 if self.next > 0 => {
                let first = script.number() % self.next;
                let range = first..(first + script.below(30)).min(self.next);
                let grown = self.committed.insert(range);
                self.dispatch.committed(self.now, &self.committed, &[grown]);
            }
            9 => self.now = self.now + Duration::from_millis(script.number() % 40_000),
            10 => self.dispatch.ending(),
            11 => self.dispatch.quiet(link, self.now, &self.committed),
            12 => self.dispatch.back(link, &self.committed, &mut orders),
            13 => self.dispatch.opens(link, script.number32()),
            _ => {
                let urgent = script.number() % self.next.max(1);
                let turn = &mut Turn::new(self.now, &mut orders);
                self.dispatch.dispatch(turn, &self.committed, urgent);
            }
        }
        self.carry_out(orders);
    }

    /// A parcel that the worker has, most often.
    fn parcel(&self, link: u32, script: &mut Script<'_>) -> u64 {
        let known = self.links.get(&link).filter(|known| !known.is_empty());
        match known {
            Some(known) if script.below(8) > 0 => {
                known[script.below(known.len().min(200) as u64) as usize].0
            }
            _ => script.number(),
        }
    }

    fn carry_out(&mut self, orders: Vec<Instruction>) {
        for order in orders {
            match order {
                Instruction::Send(link, work) => {
                    assert!(!work.units.is_empty(), "a parcel of nothing");
                    let known =
                        self.links.get_mut(&link).expect("only who is there is sent anything");
                    known.push((work.parcel, work.units.len()));
                    self.sent.extend(work.units.iter().map(|(id, ..)| id));
                    note(
                        &mut self.seen,
                        about(work.units.len() as u64) << 8 | u64::from(work.attempt),
                    );
                }
                Instruction::Retract(link, _) => {
                    assert!(self.links.contains_key(&link));
                    note(&mut self.seen, 3);
                }
                Instruction::Dead(dead) => {
                    self.dead.insert(dead.root);
                    note(&mut self.seen, 4);
                }
            }
        }
    }

    /// All workers leave, and a good one comes: it gets everything that is not committed or dead.
    fn ends_well(&mut self) {
        let mut orders = Vec::new();
        for link in std::mem::take(&mut self.links).into_keys() {
            self.dispatch.lost(
                &mut Turn::new(self.now, &mut orders),
                link,
                Loss::Silent,
                &self.committed,
            );
        }
        self.carry_out(orders);
        self.sent.clear();
        self.links.insert(9, Vec::new());
        self.dispatch.join(9, "good");
        self.dispatch.granted(9, Credit { units: u64::MAX, bytes: u64::MAX });
        while !self.dispatch.is_empty() {
            let mut orders = Vec::new();
            self.now = self.now + Duration::from_secs(31);
            let urgent = self.committed.watermark();
            self.dispatch.dispatch(&mut Turn::new(self.now, &mut orders), &self.committed, urgent);
            let parcels: Vec<u64> = orders
                .iter()
                .filter_map(|order| match order {
                    Instruction::Send(_, work) => Some(work.parcel),
                    _ => None,
                })
                .collect();
            self.carry_out(orders);
            // What waited may have been committed meanwhile, and is forgotten then.
            assert!(
                !parcels.is_empty() || self.dispatch.is_empty(),
                "units wait although a worker is idle"
            );
            let mut orders = Vec::new();
            for parcel in parcels {
                let done = Done { parcel, busy_ns: 1, failed: Vec::new() };
                self.dispatch.done(
                    &mut Turn::new(self.now, &mut orders),
                    9,
                    &done,
                    &self.committed,
                );
            }
            self.carry_out(orders);
            for id in &self.sent {
                self.committed.insert(*id..*id + 1);
            }
            let news: Vec<_> = self.committed.iter().collect();
            self.dispatch.committed(self.now, &self.committed, &news);
        }
        assert_eq!((self.dispatch.bytes(), self.dispatch.waiting()), (0, 0), "kept for nobody");
        let lost = |id: &&u64| !self.committed.contains(**id) && !self.dead.contains(id);
        assert_eq!(self.added.iter().find(lost), None, "a unit is lost");
    }
}
