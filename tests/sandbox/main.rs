//! The sandbox from outside: the built `egret-proxy exec`, real curl, real signals.
//!
//! Where namespaces are forbidden the tests say so on standard error and pass; with `EGRET_REQUIRE_NAMESPACES` set they
//! fail instead.

// The whole crate is a test: a panic is how it reports.
#![allow(clippy::unwrap_used)]

mod capture;
mod closed;
mod compare;
mod files;
mod identity;
mod lacking;
mod legacy;
mod life;
mod reach;
mod redirected;
mod rules;
mod trial;
