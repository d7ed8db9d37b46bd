//! Workers in Python, and workers that are written from the protocol's document alone.

mod plain_worker;
mod python_package;
mod python_values;
mod python_workers;
mod worker_from_the_document;
