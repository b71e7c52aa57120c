//! Lets tauri-build generate what the app needs at compile time.
fn main() {
    tauri_build::build();
}
