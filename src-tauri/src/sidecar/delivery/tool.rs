//! A program of the cluster's distribution, run without a shell: its words are shown, and it does not outlive its time.

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::Command,
    time,
};

use crate::fault::{Fault, Result};

/// Longest that it may take: 14 MB to each of some nodes, one after the other.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long what it left may keep its output open.
const AFTER: Duration = Duration::from_secs(2);
/// Most of what it says is read.
const MAX_SAID: u64 = 1 << 20;
/// How many of its last words tell why it failed: the reason is seldom the very last line.
const LAST: usize = 3;

/// A program by its name.
pub fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    let runs = |file: &PathBuf| {
        let data = file.metadata();
        data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(path).map(|folder| folder.join(name)).find(runs)
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<'a> {
    pub program: &'a Path,
    pub arguments: &'a [String],
    pub variables: &'a [(String, String)],
    pub path: &'a OsStr,
}

/// Ends what is left of a run, also of one that is called off.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let group = self.0.and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group {
            // It may have ended before.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

/// The last lines of a stream.
#[derive(Debug, Default)]
struct Last(Mutex<VecDeque<String>>);

impl Last {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST {
            lines.pop_front();
        }
        lines.push_back(line.into());
    }

    fn words(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl Run<'_> {
    /// Runs it to its end; each line that it prints is told. To end it early, drop the future.
    pub async fn end(&self, said: impl Fn(&str)) -> Result<()> {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let unable = |error: io::Error| Fault::new("tool", format!("{name} cannot be run: {error}"));
        let mut child = Command::new(self.program)
            .args(self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("PATH", self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that what it started ends with it.
            .process_group(0)
            .spawn()
            .map_err(unable)?;
        let group = Group(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (last, last_wrong) = (Last::default(), Last::default());
        let ended = {
            let heard = |line: &str| {
                said(line);
                last.push(line);
            };
            let heard_wrong = |line: &str| {
                said(line);
                last_wrong.push(line);
            };
            let lines = async { tokio::join!(lines(stdout, &heard), lines(stderr, &heard_wrong)) };
            let mut lines = std::pin::pin!(lines);
            let ends = async {
                let status = tokio::select! {
                    status = child.wait() => status,
                    _ = &mut lines => return child.wait().await,
                };
                // Somebody that it started may hold its output open.
                let _ = time::timeout(AFTER, lines).await;
                status
            };
            time::timeout(PATIENCE, ends).await
        };
        drop(group);
        let status = ended
            .map_err(|_| {
                Fault::new(
                    "tool",
                    format!(
                        "{name} did not end in {} minutes, and was ended.",
                        PATIENCE.as_secs() / 60
                    ),
                )
                .hint("Run the command in a terminal to see what it waits for.")
            })?
            .map_err(unable)?;
        if status.success() {
            return Ok(());
        }
        let wrong = Some(last_wrong.words()).filter(|words| !words.is_empty());
        let last = wrong.unwrap_or_else(|| last.words());
        let how = match status.code() {
            Some(code) => format!("ended with {code}"),
            None => "was ended by a signal".to_string(),
        };
        let words = if last.is_empty() {
            String::new()
        } else {
            format!(": {last}")
        };
        Err(Fault::new("tool", format!("{name} {how}{words}"))
            .hint("Run the command in a terminal, or choose another way."))
    }
}

async fn lines(stream: Option<impl AsyncRead + Unpin>, said: &impl Fn(&str)) {
    let Some(stream) = stream else { return };
    let mut stream = BufReader::new(stream.take(MAX_SAID));
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        let plain = plain(&text);
        if !plain.is_empty() {
            said(&plain);
        }
        line.clear();
    }
}

/// Without colours and what else is for a terminal. Source: ECMA-48, control sequences.
fn plain(text: &str) -> String {
    let mut pieces = text.trim_end().split("\x1b[");
    let first = pieces.next().unwrap_or_default();
    let rest = pieces.map(|piece| {
        let mut rest = piece.trim_start_matches(|letter| matches!(letter, ' '..='?')).chars();
        // The letter that ends the sequence.
        rest.next();
        rest.as_str()
    });
    let letters = [first].into_iter().chain(rest).flat_map(str::chars);
    letters.filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use super::*;

    fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kind");
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        (folder, file)
    }

    async fn run(program: &Path, arguments: &[&str]) -> (Result<()>, Vec<String>) {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let path = env::var_os("PATH").unwrap();
        let run = Run {
            program,
            arguments: &arguments,
            variables: &[("WHO".into(), "podman".into())],
            path: &path,
        };
        let heard = Mutex::new(Vec::new());
        let ended = run.end(|line| heard.lock().unwrap().push(line.to_string())).await;
        (ended, heard.into_inner().unwrap())
    }

    #[tokio::test]
    async fn arguments_are_words_and_no_shell_reads_them() {
        let (_folder, program) = script(r#"for word in "$@"; do echo "<$word> $WHO"; done"#);
        let (ended, heard) = run(&program, &["load", "a b; $(id)"]).await;
        assert_eq!(
            (ended, heard),
            (Ok(()), vec!["<load> podman".into(), "<a b; $(id)> podman".into()])
        );
    }

    #[tokio::test]
    async fn a_failure_is_told_with_the_last_words() {
        let failed = async |text| {
            let (_folder, program) = script(text);
            run(&program, &[]).await.0.unwrap_err().message
        };
        // The reason is not the last line: k3d warns after it, and kind tells after it what failed in the node.
        assert_eq!(
            failed(
                "echo 'ERRO[0001] no nodes found' >&2; echo 'WARN[0001] an error occured' >&2; echo loading; exit 3"
            )
            .await,
            "kind ended with 3: ERRO[0001] no nodes found WARN[0001] an error occured"
        );
        assert_eq!(
            failed("echo no nodes found; exit 1").await,
            "kind ended with 1: no nodes found"
        );
        assert_eq!(
            failed("for i in 1 2 3 4; do echo $i >&2; done; exit 1").await,
            "kind ended with 1: 2 3 4"
        );
        assert_eq!(failed("kill -9 $$").await, "kind was ended by a signal");
        let fault = run(Path::new("/nowhere/kind"), &[]).await.0.unwrap_err();
        assert!(fault.message.starts_with("kind cannot be run"), "{}", fault.message);
    }

    #[tokio::test]
    async fn colours_are_no_words() {
        let (_folder, program) =
            script(r"printf '\033[36mINFO\033[0m[0000] Importing [1] \033[1;31m\033[K\342\234\227\033\n'");
        let (_, heard) = run(&program, &[]).await;
        assert_eq!(heard, ["INFO[0000] Importing [1] ✗"]);
    }

    #[tokio::test]
    async fn what_is_called_off_leaves_nothing_that_runs() {
        let (folder, program) = script("sleep 600 & echo $! >${0%/*}/child; wait");
        let child = folder.path().join("child");
        let begun = async {
            while fs::read_to_string(&child).map_or(true, |id| id.trim().is_empty()) {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            _ = run(&program, &[]) => panic!("it ended"),
            () = begun => {}
        }
        let state = Path::new("/proc")
            .join(fs::read_to_string(&child).unwrap().trim())
            .join("stat");
        let gone = || fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z "));
        let until = Instant::now() + Duration::from_secs(10);
        while !gone() && Instant::now() < until {
            time::sleep(Duration::from_millis(10)).await;
        }
        assert!(gone());
    }

    #[test]
    fn a_program_is_found_where_it_may_be_run() {
        let (folder, program) = script("");
        let path = env::join_paths([Path::new("/nowhere"), folder.path()]).unwrap();
        assert_eq!(find("kind", &path), Some(program.clone()));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(find("kind", &path), None);
    }
}
