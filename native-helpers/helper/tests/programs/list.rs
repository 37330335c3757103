// The list of programs: the test, its module, the title, what tells the version, and how it is carried.

programs! {
    redis: databases, "redis", "redis-server --version",
        "under writes of several clients; no acknowledged write is lost, clients connect again";
    postgresql: databases, "PostgreSQL", "postgres --version",
        "as its own user, while pgbench runs; accounts and history agree after every round";
    sqlite: databases, "sqlite3", "sqlite3 --version",
        "within a transaction that has spilled to the disk; its lock holds, the commit is whole";
    nginx: web, "nginx", "nginx -v",
        "two workers with threads, shared zones and a cache under load; every answer is right";
    node: web, "Node.js", "node --version",
        "an http server with keep-alive clients, worker threads and timers";
    jvm: runtimes, "Java (HotSpot)", "java -version",
        "a full heap, JIT and garbage collector at work";
    go: runtimes, "Go", "go version",
        "goroutines preempted by signals, timers, a Multipath TCP listener";
    python_fork: runtimes, "Python, multiprocessing by fork", "python3 --version",
        "asyncio and processes with shared memory, semaphores and queues";
    python_spawn: runtimes, "Python, multiprocessing by spawn", "python3 --version",
        "the same, each process a new interpreter";
    python_forkserver: runtimes, "Python, multiprocessing by forkserver", "python3 --version",
        "the same, with a fork server that hands descriptors on";
    tmux: sessions, "tmux, vim, bash, make", "tmux -V",
        "a server with three shells: an editor with unsaved text, a running make, variables";
    ssh_agent: sessions, "ssh-agent", "ssh -V",
        "a key in locked memory of an undumpable process; it still signs";
    xterm: displays, "Xvnc with xterm", "Xvnc -version",
        "the X server is part of the tree: the screen is the same, and the shell takes keys";
    tk: displays, "Xvnc with a Tk program", "Xvnc -version",
        "the screen is the same, and the program goes on drawing";
    gtk: displays, "Xvnc with a GTK program (mousepad)", "mousepad --version",
        "with unsaved text; shared memory between the program and the X server";
    qt: displays, "Xvnc with a Qt program (featherpad)", "featherpad --version",
        "with unsaved text";
}

// Too large to be installed for every run: `cargo test --features large-programs` takes these through the same.
large_programs! {
    libreoffice: large, "LibreOffice Writer", "soffice --version", Works,
        "a document with changes that are not saved; they are saved at the end";
    firefox: large, "Firefox without the namespaces of its sandbox", "firefox-esr --version", Works,
        "`MOZ_ASSUME_USER_NS=0`: a form half filled in; its system call filters stay";
    chromium: large, "Chromium without its sandbox", "chromium --version", Works,
        "`--no-sandbox`: a form half filled in";
    firefox_sandboxed: large, "Firefox", "firefox-esr --version", Blocker("namespace"),
        "its sandbox makes a user, a network and an IPC namespace for each process that shows pages";
    chromium_sandboxed: large, "Chromium", "chromium --version", Blocker("namespace"),
        "its sandbox makes user, PID and network namespaces";
}
