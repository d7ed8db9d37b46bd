//! The workers of a stage, in the order in which they get work.
//!
//! Owns what each worker holds and may be sent, and who is next: the one that is expected to finish
//! first. To find it, and to file a worker anew, takes the logarithm of their number. Refuses to
//! choose what they get.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::sent::Sent;
use crate::{
    frame::ParcelId,
    role::LinkId,
    rules::{credit::Allowance, sizing::Sizing},
};

/// Parcels that one worker has at a time: one under way and one to go on with. One that has many
/// units open at once is sent more as long as it has not twice as many units.
pub const PARCELS_PER_PEER: usize = 2;
/// The weight of the newest parcel in the mean of how long parcels are away.
const NEWEST: f64 = 0.3;

#[derive(Debug)]
pub(super) struct Peer {
    pub name: String,
    pub allowance: Allowance,
    pub sizing: Sizing,
    pub pending: BTreeMap<ParcelId, Sent>,
    pub presence: Presence,
    /// How many units it has open at once.
    pub open: usize,
    // The mean time from sending a parcel to its end, of one that has several units open.
    turnaround: Option<Duration>,
    filed: Filed,
}

/// Whether a worker may be sent anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    /// It takes no more.
    Leaving,
    /// It has missed heartbeats; others have what it holds.
    Quiet {
        leaving: bool,
    },
}

impl Presence {
    pub fn is_quiet(self) -> bool {
        matches!(self, Self::Quiet { .. })
    }

    pub fn is_leaving(self) -> bool {
        matches!(self, Self::Leaving | Self::Quiet { leaving: true })
    }

    /// It takes no more.
    pub fn leave(&mut self) {
        *self = match self {
            Self::Here | Self::Leaving => Self::Leaving,
            Self::Quiet { .. } => Self::Quiet { leaving: true },
        };
    }

    /// It is not heard; whether that is new.
    pub fn fall_quiet(&mut self) -> bool {
        let is_new = !self.is_quiet();
        *self = Self::Quiet { leaving: self.is_leaving() };
        is_new
    }

    /// It is heard; whether that is new.
    pub fn come_back(&mut self) -> bool {
        let is_new = self.is_quiet();
        *self = if self.is_leaving() { Self::Leaving } else { Self::Here };
        is_new
    }
}

/// Expected to be busy for so long, with so many units in so many parcels.
type Rank = (Duration, usize, usize, LinkId);

/// Under what a worker is filed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Filed {
    place: Option<Rank>,
    // Holds so many parcels, and has given no credit for more.
    closed: Option<(usize, LinkId)>,
    idle: bool,
    busy: bool,
    // Bytes of what it holds.
    bytes: usize,
}

impl Peer {
    /// Has nothing, and may be sent something.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
            && self.presence == Presence::Here
            && self.allowance.room().is_some()
    }

    /// Whether it has several units open at once.
    pub fn is_concurrent(&self) -> bool {
        self.open > 1
    }

    /// A parcel that was away for so long has ended.
    pub fn ended(&mut self, away: Duration) {
        if self.is_concurrent() {
            let known = self.turnaround.unwrap_or(away);
            self.turnaround = Some(known.mul_f64(1.0 - NEWEST) + away.mul_f64(NEWEST));
        }
    }

    /// How long a parcel of so many units may be away before that is strange. What many units at
    /// once take together says little of how long one of them takes.
    pub fn patience(&self, units: usize) -> Duration {
        const UNKNOWN: Duration = Duration::from_secs(1);
        let expected = self.sizing.expected(units).unwrap_or_default();
        let each =
            if self.is_concurrent() { self.turnaround.unwrap_or(UNKNOWN) } else { Duration::ZERO };
        expected.max(each) * 2
    }

    fn file(&self, link: LinkId) -> Filed {
        let held: usize = self.pending.values().map(|sent| sent.units.len()).sum();
        let has_few = self.pending.len() < PARCELS_PER_PEER;
        let has_place = self.presence == Presence::Here
            && (has_few || held < self.open.saturating_mul(2))
            // What is suspect is all that its worker has: what one that dies has done just
            // before may be unheard of.
            && !self.pending.values().any(|sent| sent.history.is_suspect());
        let closed = (has_place && has_few && self.allowance.is_used_up())
            .then_some((self.pending.len(), link));
        let place = (has_place && self.allowance.room().is_some()).then(|| {
            // Only what has to wait for another unit's end makes the next one wait.
            let waits = held.saturating_sub(self.open.saturating_sub(1));
            let expected = self.sizing.expected(waits).unwrap_or_default();
            (expected, held, self.pending.len(), link)
        });
        let bytes = self.pending.values().map(|sent| sent.units.bytes()).sum();
        Filed { place, closed, idle: self.is_idle(), busy: !self.pending.is_empty(), bytes }
    }
}

#[derive(Debug, Default)]
pub(super) struct Workers {
    peers: BTreeMap<LinkId, Peer>,
    order: BTreeSet<Rank>,
    closed: BTreeSet<(usize, LinkId)>,
    idle: usize,
    busy: usize,
    bytes: usize,
}

impl Workers {
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Bytes of values that workers hold.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn any_idle(&self) -> bool {
        self.idle > 0
    }

    pub fn any_busy(&self) -> bool {
        self.busy > 0
    }

    pub fn join(&mut self, link: LinkId, name: &str, sizing: Sizing) {
        self.remove(link);
        let peer = Peer {
            name: name.to_owned(),
            allowance: Allowance::default(),
            sizing,
            pending: BTreeMap::new(),
            presence: Presence::Here,
            open: 1,
            turnaround: None,
            filed: Filed::default(),
        };
        self.peers.insert(link, peer);
    }

    pub fn remove(&mut self, link: LinkId) -> Option<Peer> {
        self.refile(link, Filed::default());
        self.peers.remove(&link)
    }

    pub fn get(&self, link: LinkId) -> Option<&Peer> {
        self.peers.get(&link)
    }

    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &Peer)> {
        self.peers.iter().map(|(link, peer)| (*link, peer))
    }

    /// Those that hold anything.
    pub fn links(&self) -> Vec<LinkId> {
        self.peers.keys().copied().collect()
    }

    /// Changes a parcel that a worker holds.
    pub fn change<T>(
        &mut self,
        link: LinkId,
        parcel: ParcelId,
        change: impl FnOnce(&mut Sent) -> T,
    ) -> Option<T> {
        self.update(link, |peer| peer.pending.get_mut(&parcel).map(change)).flatten()
    }

    /// Changes a worker, and files it anew.
    pub fn update<T>(&mut self, link: LinkId, change: impl FnOnce(&mut Peer) -> T) -> Option<T> {
        let peer = self.peers.get_mut(&link)?;
        let changed = change(peer);
        let filed = peer.file(link);
        self.refile(link, filed);
        Some(changed)
    }

    /// Who gets the next parcel; with `alone`, only one that has nothing.
    pub fn next(&self, alone: bool) -> Option<(LinkId, &Peer)> {
        // Whoever has nothing is expected to be busy for no time, and so comes first.
        let (_, _, parcels, link) = self.order.first()?;
        if alone && *parcels > 0 {
            return None;
        }
        Some((*link, self.peers.get(link)?))
    }

    /// One that has given no credit for more, and whether it has nothing: the one that has least.
    pub fn closed(&self) -> Option<(LinkId, bool)> {
        self.closed.first().map(|(parcels, link)| (*link, *parcels == 0))
    }

    fn refile(&mut self, link: LinkId, filed: Filed) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let before = std::mem::replace(&mut peer.filed, filed);
        if before.place != filed.place {
            before.place.map(|place| self.order.remove(&place));
            filed.place.map(|place| self.order.insert(place));
        }
        if before.closed != filed.closed {
            before.closed.map(|place| self.closed.remove(&place));
            filed.closed.map(|place| self.closed.insert(place));
        }
        self.idle = self.idle + usize::from(filed.idle) - usize::from(before.idle);
        self.busy = self.busy + usize::from(filed.busy) - usize::from(before.busy);
        self.bytes = self.bytes + filed.bytes - before.bytes;
    }
}
