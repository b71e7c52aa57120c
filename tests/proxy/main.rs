//! The sidecar from outside: the built `egret-proxy`, real sockets, real curl.
//!
//! Tests in `captured` and `pods` need a network namespace. Where none can be had they say so on standard error and pass; with
//! `EGRET_REQUIRE_NAMESPACES` set they fail instead.

// The whole crate is a test: a panic is how it reports.
#![allow(clippy::unwrap_used)]

mod actions;
mod balance;
mod bodies;
mod captured;
mod certified;
mod compare;
mod connections;
mod copies;
mod delivery;
mod ends;
mod explicit;
mod flows;
mod grpc;
mod grpc_web;
mod http2;
mod image;
mod interims;
mod lifecycle;
mod limits;
mod malformed;
mod namespace;
mod observe;
mod opened;
mod originated;
mod paths;
mod pods;
mod printed;
mod replies;
mod site;
mod starts;
mod streams;
mod subject;
mod uploads;
