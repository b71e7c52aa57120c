//! One of the two workloads: the sender beside a sidecar, and the sidecar's admin interface and access log.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use egret_tests::mesh::Mesh;

use super::{
    sender::{ARGUMENT, Order, Seen, Sending},
    wait,
};

/// Programs of this machine run in a pod, where its file system stands under `/host`, with their own libraries.
pub const LOADER: [&str; 3] = [
    "/host/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "--library-path",
    "/host/lib/x86_64-linux-gnu:/host/usr/lib/x86_64-linux-gnu",
];

/// A pod of two containers: `caller`, and the sidecar's.
pub struct Side {
    /// The pod's address.
    pub address: String,
    sender: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: Child,
    rows: Arc<Mutex<Vec<String>>>,
}

impl Side {
    /// The pod `name` in `namespace`, whose sidecar runs in `container`; it is ready when the sidecar is.
    pub fn of(mesh: &Mesh, namespace: &str, name: &str, container: &str) -> Result<Self, String> {
        let within = format!("--namespace={namespace}");
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let program = format!("/host{}", program.display());
        let run = ["exec", "--stdin", &within, name, "--container=caller", "--"];
        let mut sender = mesh.stream(&[&run[..], &LOADER, &[&program, ARGUMENT]].concat());
        let mut log = mesh.stream(&["logs", "--follow", &within, name, "--container", container]);
        let rows = Arc::<Mutex<Vec<String>>>::default();
        let (written, lines) = (rows.clone(), log.stdout.take().expect("kubectl has pipes"));
        thread::spawn(move || {
            // Whatever else the container says is no row.
            let lines = BufReader::new(lines).lines().map_while(Result::ok);
            for line in lines.filter(|line| line.starts_with("[20")) {
                written.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut side = Self {
            address: mesh.text(&["get", "pod", name, &within, "--output=jsonpath={.status.podIP}"]),
            orders: sender.stdin.take().expect("kubectl has pipes"),
            answers: BufReader::new(sender.stdout.take().expect("kubectl has pipes")),
            sender,
            log,
            rows,
        };
        wait(&format!("the sidecar of {name}"), || {
            let seen = side.admin("/ready")?;
            match seen.head.first() {
                Some(status) if status.contains("200") => Ok(()),
                _ => Err(format!("{seen:?}")),
            }
        })?;
        Ok(side)
    }

    /// Makes a call.
    pub fn call(&mut self, sending: Sending) -> Result<Seen, String> {
        self.order(&Order::Call(sending))
    }

    /// Asks the sidecar's admin interface.
    pub fn admin(&mut self, path: &str) -> Result<Seen, String> {
        self.order(&Order::Admin(path.to_string()))
    }

    /// Rows of the access log so far.
    pub fn rows(&self) -> Vec<String> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the rows so far.
    pub fn forget(&self) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn order(&mut self, order: &Order) -> Result<Seen, String> {
        let order = serde_json::to_string(order).map_err(|error| error.to_string())?;
        let mut answer = String::new();
        writeln!(self.orders, "{order}")
            .and_then(|()| self.orders.flush())
            .and_then(|()| self.answers.read_line(&mut answer))
            .map_err(|error| format!("the sender: {error}"))?;
        serde_json::from_str(&answer).map_err(|error| format!("the sender said {answer:?}: {error}"))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        for child in [&mut self.sender, &mut self.log] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
