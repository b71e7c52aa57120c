//! Egret.
fn main() {}
