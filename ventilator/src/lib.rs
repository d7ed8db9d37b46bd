//! ventilator
