//! What the project keeps of itself: its README, what it ships, its files and its dependencies.

mod dependents;
mod import_circles;
mod readme;
mod shipped_topologies;
