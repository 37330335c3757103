// The list of states; main.rs says how a line reads.

states! {
    // Processes and processors.
    proc_static_loop: proc_static_loop moving;
    proc_identity: proc_identity;
    cpu_registers: cpu_registers moving;
    cpu_vector_threads: cpu_vector_threads moving;
    proc_tree: proc_tree;
    proc_sessions: proc_sessions;
    proc_session_leader_gone: proc_session_leader_gone;
    proc_zombies: proc_zombies;
    proc_orphans: proc_orphans;
    proc_stopped: proc_stopped;
    proc_thread_children: proc_thread_children;
    proc_vfork: proc_vfork moving;
    proc_zombie_leaders: proc_zombie_leaders;
    proc_stopped_root: proc_stopped_root;
    proc_continued: proc_continued;
    thread_robust: thread_robust;
    call_handler: call_handler;
    cred_session: cred_session;
    proc_exit_signal: proc_exit_signal;
    proc_shared_tables: proc_shared_tables;
    proc_waiting_parent: proc_waiting_parent;
    proc_zombie_users: proc_zombie_users;
    proc_folder_of_dead: proc_folder_of_dead;

    // Threads.
    thread_basic: thread_basic;
    thread_100: thread_basic ["100"];
    thread_1000: thread_basic ["1000"];
    thread_kernel_marks: thread_kernel_marks;
    thread_mutexes: thread_mutexes;
    thread_churn: thread_churn moving;
    thread_everything: thread_everything moving;
    thread_leader_gone: thread_leader_gone;
    thread_folders: thread_folders;
    thread_personality: thread_personality;
    thread_rseq_section: thread_rseq_section moving;

    // Signals.
    sig_actions: sig_actions;
    sig_pending: sig_pending;
    sig_altstack: sig_altstack;
    sig_in_handler: sig_in_handler;
    sig_waiting: sig_waiting;
    sig_storm: sig_storm moving;
    sig_queue_kinds: sig_queue_kinds;
    sig_over_limit: sig_over_limit;
    sig_single_step: sig_single_step moving;

    // Time.
    timer_interval: timer_interval;
    timer_ticking: timer_ticking moving;
    timer_posix: timer_posix;
    timer_clocks: timer_clocks;
    timer_thread_gone: timer_thread_gone;
    timer_fd: timer_fd;

    // Interrupted system calls.
    call_blocked: call_blocked;
    call_blocked_rare: call_blocked_rare;
    call_stopped: call_stopped;
    call_nanosleep: call_timed ["nanosleep"];
    call_clock_relative: call_timed ["clock-relative"];
    call_clock_absolute: call_timed ["clock-absolute"];
    call_wall_absolute: call_timed ["wall-absolute"];
    call_poll: call_timed ["poll"];
    call_ppoll: call_timed ["ppoll"];
    call_select: call_timed ["select"];
    call_pselect: call_timed ["pselect"];
    call_futex_relative: call_timed ["futex-relative"];
    call_futex_absolute: call_timed ["futex-absolute"];
    call_epoll: call_timed ["epoll"];
    call_semop: call_timed ["semop"];
    call_sigtimedwait: call_timed ["sigtimedwait"];
    call_receive: call_timed ["receive"];

    // Memory.
    mem_private: mem_private;
    mem_heap_stack: mem_heap_stack;
    mem_file_private: mem_file_private;
    mem_file_shared: mem_file_shared;
    mem_shared_anon: mem_shared_anon;
    mem_cow: mem_cow;
    mem_cow_family: mem_cow_family;
    mem_cow_orphans: mem_cow_family ["orphans"];
    mem_memfd: mem_memfd;
    mem_posix_shm: mem_posix_shm;
    mem_locked: mem_locked;
    mem_locked_all: mem_locked ["all"];
    mem_advice: mem_advice;
    mem_huge: mem_huge;
    mem_huge_disabled: mem_huge ["disabled"];
    mem_huge_reserved: mem_huge ["hugetlb"];
    mem_big: mem_big;
    mem_vdso: mem_vdso;
    mem_vdso_moved: mem_vdso ["moved"];
    mem_vdso_calls: mem_vdso_calls moving;

    mem_grows: mem_odd ["grows"];
    mem_zero: mem_odd ["zero"];
    mem_beyond: mem_odd ["beyond"];
    mem_guard: mem_odd ["guard"];
    mem_policy: mem_odd ["policy"];
    mem_sealed: mem_odd ["sealed"];
    mem_brk: mem_odd ["brk"];
    mem_protections: mem_odd ["protections"];
    mem_droppable: mem_rare ["droppable"];
    mem_memfd_kinds: mem_rare ["memfds"];
    mem_guard_kinds: mem_rare ["guards"];
    mem_locked_parts: mem_rare ["locks"];
    mem_reordered: mem_rare ["reordered"];
    mem_aio: mem_aio;
    mem_huge_shared: mem_huge_shared;
    mem_reserved: mem_reserved;
    mem_top: mem_top;

    // Files.
    file_regular: file_regular;
    file_shared_position: file_shared_position;
    file_unlinked: file_unlinked;
    file_unlinked_folder: file_unlinked_folder;
    file_odd_opens: file_odd_opens;
    file_odd: file_odd;
    file_devices: file_devices;
    file_consoles: file_consoles;
    file_process_context: file_process_context;
    file_process_shared: file_process_shared;
    file_owner_signal: file_owner_signal;
    lock_files: lock_files;
    lock_lease: lock_lease;
    lock_lease_odd: lock_lease_odd;
    lock_lease_unlinked: lock_lease_unlinked;
    file_odd_names: file_odd_names;
    file_removed_read_only: file_removed_below ["read-only"];
    file_removed_overlay: file_removed_below ["overlay"];
    file_top_number: file_top_number;

    // Pipes and event descriptors.
    pipe_data: pipe_data;
    pipe_stream: pipe_stream moving;
    pipe_odd: pipe_odd;
    pipe_user: pipe_user;
    fifo_states: fifo_states;
    event_epoll: event_epoll;
    event_fds: event_fds;
    event_signals: event_signals;
    many_descriptors: many_descriptors;
    event_odd: event_odd;
    event_pidfd_dead: event_pidfd_dead;
    event_inotify: event_inotify;
    event_inotify_renamed: event_inotify_renamed;
    event_inotify_pending: event_inotify ["pending"];
    event_fanotify: event_fanotify;
    event_bpf: event_bpf;

    // Terminals.
    tty_pair: tty_pair;
    tty_odd: tty_odd;
    tty_locked: tty_locked;
    tty_controlling: tty_controlling;
    tty_hung_up: tty_hung_up;

    // Credentials, limits, scheduling.
    cred_process: cred_process;
    cred_process_drops: cred_process ["drops"];
    cred_threads: cred_threads;
    cred_dumpable: cred_dumpable;
    cred_scheduling: cred_scheduling;
    cred_limits: cred_limits;
    cred_seccomp: cred_seccomp;
    cred_switches: cred_switches;
    cred_dispatch: cred_dispatch;
    cred_tight: cred_tight;
    proc_cgroup: proc_cgroup;
    proc_keyrings: proc_keyrings;
    proc_exe_removed: proc_exe_gone ["removed"];
    proc_exe_replaced: proc_exe_gone ["replaced"] moving;
    proc_exe_memfd: proc_exe_gone ["memfd"];

    // Sockets.
    unix_pairs: unix_pairs;
    unix_names: unix_names;
    unix_messages: unix_messages;
    unix_odd: unix_odd;
    unix_places: unix_places;
    unix_confined: unix_confined;
    tcp_left: tcp_left;
    unix_flight: unix_flight;
    unix_waiting: unix_waiting;
    socket_waiting: socket_waiting;
    tcp_listening: tcp_listening;
    tcp_listening_pending: tcp_listening ["pending"];
    tcp_connected: tcp_connected ["4"];
    tcp_connected_v6: tcp_connected ["6"];
    tcp_over: tcp_over;
    tcp_states: tcp_states;
    tcp_outside: tcp_outside ["4"];
    tcp_outside_v6: tcp_outside ["6"];
    tcp_away: tcp_away ["4", "3s"];
    tcp_away_v6: tcp_away ["6", "3s"];
    tcp_away_mapped: tcp_away ["mapped", "3s"];
    udp_sockets: udp_sockets;
    udp_queued: udp_sockets ["queued"];
    udp_odd: udp_odd;
    socket_netlink: socket_kinds ["netlink"];
    socket_raw: socket_kinds ["raw"];
    socket_packet: socket_kinds ["packet"];
    socket_odd: socket_odd;
    socket_options: socket_options;
    socket_multicast: socket_multicast;
    socket_ring: socket_ring;
    socket_freebind: socket_freebind;
    socket_old_packet: socket_old_packet;

    // IPC.
    ipc_sysv: ipc_sysv;
    ipc_semaphores: ipc_semaphores;
    ipc_segments: ipc_segments;
    ipc_mqueue: ipc_mqueue;
    ipc_shared_locks: ipc_shared_locks;

    // Namespaces of the tree's own.
    ns_uts: ns_own ["uts"];
    ns_files: ns_files;
    ns_ipc: ns_own ["ipc"];
    ns_net: ns_own ["net"];
    ns_used_net: ns_own ["used-net"];
    ns_used_ipc: ns_own ["used-ipc"];
    ns_socket_net: ns_own ["socket-net"];
    ns_mount: ns_own ["mount"];
    ns_user: ns_own ["user"];
    ns_cgroup: ns_own ["cgroup"];
    ns_net_sockets: ns_net_sockets;
    ns_cgroup_root: ns_cgroup_root;
    ns_user_root: ns_user;
    ns_user_bare: ns_user ["bare"];
    ns_user_nested: ns_user ["nested"];
    ns_user_threads: ns_user ["threads"];
    cgroup_gone: cgroup_gone;
    cgroup_named: cgroup_gone ["named"];
    cgroup_threads: cgroup_threads;
}

carried! {
    proc_keyrings
    proc_folder_of_dead
    proc_zombie_users
    thread_personality
    sig_over_limit
    sig_single_step
    timer_thread_gone
    pipe_user
    cred_dumpable
    thread_rseq_section
    call_blocked_rare
    mem_droppable
    mem_memfd_kinds
    mem_guard_kinds
    mem_locked_parts
    mem_reordered
    socket_options
    socket_multicast
    thread_folders
    socket_old_packet
    event_inotify_pending
    ipc_sysv
    ipc_semaphores
    event_bpf
    mem_policy
    socket_ring
    socket_freebind
    ns_uts
    ns_files
    ns_ipc
    ns_net
    ns_used_net
    ns_socket_net
    ns_net_sockets
    ns_user
    ns_user_root
    ns_user_bare
    ns_user_nested
    ns_cgroup
    ns_cgroup_root
    cgroup_gone
    cgroup_named
    cgroup_threads
    ipc_mqueue
    many_descriptors
    ipc_segments
    proc_zombie_leaders
    proc_stopped_root
    proc_continued
    thread_robust
    call_handler
    cred_session
    cred_switches
    cred_dispatch
    cred_tight
    proc_cgroup
    proc_exe_removed
    proc_exe_replaced
    proc_exe_memfd
    sig_queue_kinds
    timer_clocks
    mem_grows
    mem_zero
    mem_beyond
    mem_guard
    mem_sealed
    mem_brk
    mem_protections
    mem_aio
    mem_huge_shared
    proc_static_loop
    proc_identity
    cpu_registers
    cpu_vector_threads
    proc_tree
    proc_sessions
    proc_session_leader_gone
    proc_zombies
    proc_orphans
    proc_stopped
    proc_thread_children
    proc_exit_signal
    proc_shared_tables
    proc_waiting_parent
    thread_basic
    thread_100
    thread_1000
    thread_kernel_marks
    thread_mutexes
    thread_churn
    thread_everything
    thread_leader_gone
    sig_actions
    sig_pending
    sig_altstack
    sig_in_handler
    sig_waiting
    sig_storm
    timer_interval
    timer_ticking
    timer_posix
    timer_fd
    call_blocked
    call_stopped
    call_nanosleep
    call_clock_relative
    call_clock_absolute
    call_wall_absolute
    call_poll
    call_ppoll
    call_select
    call_pselect
    call_futex_relative
    call_futex_absolute
    call_epoll
    call_semop
    call_sigtimedwait
    call_receive
    mem_private
    mem_heap_stack
    mem_file_private
    mem_file_shared
    mem_shared_anon
    mem_cow
    mem_cow_family
    mem_cow_orphans
    mem_memfd
    mem_posix_shm
    mem_locked
    mem_locked_all
    mem_advice
    mem_huge
    mem_huge_disabled
    mem_huge_reserved
    mem_big
    mem_vdso
    mem_vdso_moved
    mem_vdso_calls
    mem_reserved
    mem_top
    file_shared_position
    file_regular
    file_unlinked
    file_unlinked_folder
    file_odd_opens
    file_odd
    file_devices
    file_consoles
    file_process_context
    file_process_shared
    file_owner_signal
    lock_files
    lock_lease
    lock_lease_odd
    lock_lease_unlinked
    file_odd_names
    file_removed_read_only
    file_removed_overlay
    file_top_number
    pipe_data
    pipe_stream
    pipe_odd
    fifo_states
    event_fds
    event_signals
    event_odd
    event_epoll
    event_pidfd_dead
    event_inotify
    event_inotify_renamed
    event_fanotify
    tty_pair
    tty_odd
    tty_locked
    tty_controlling
    tty_hung_up
    cred_process
    cred_process_drops
    cred_threads
    cred_scheduling
    cred_limits
    cred_seccomp
    unix_pairs
    unix_names
    unix_messages
    unix_odd
    unix_places
    unix_confined
    tcp_left
    unix_flight
    unix_waiting
    socket_waiting
    tcp_listening
    tcp_listening_pending
    tcp_connected
    tcp_connected_v6
    tcp_over
    tcp_states
    tcp_outside
    tcp_outside_v6
    tcp_away
    tcp_away_v6
    tcp_away_mapped
    udp_sockets
    udp_queued
    udp_odd
    socket_netlink
    socket_raw
    socket_packet
    socket_odd
    ipc_shared_locks
}

open! {
}

refused! {
    proc_vfork => "vfork";
    ns_user_threads => "namespace";
    ns_used_ipc => "namespace";
    ns_mount => "namespace";
}

blocked! {
    fanotify_permission: blocked_file ["permission"] => "fanotify-permission";
    lease: blocked_file ["lease"] => "lease";
    file_unreachable: blocked_file ["unmounted"] => "file-unreachable";
    shared_memory: blocked_shared_memory => "shared-memory";
    seccomp_listener: blocked_seccomp_listener => "kernel-object";
    io_uring: blocked_io_uring => "io-uring";
    userfaultfd: blocked_userfaultfd => "userfaultfd";
    ptrace: blocked_ptrace => "traced";
    thread_tables: blocked_thread_tables => "thread";
    secret_memory: blocked_secret_memory => "secret-memory";
    packet_ring: blocked_packet_ring => "packet-ring";
    socket_urgent_tcp: blocked_urgent ["tcp"] => "socket-urgent";
    socket_urgent_unix: blocked_urgent ["unix"] => "socket-urgent";
    code_32bit: blocked_32bit => "32-bit";
    code_32bit_thread: blocked_32bit_parts ["thread"] => "32-bit" at_capture;
    code_32bit_segments: blocked_32bit_parts ["segments"] => "32-bit" at_capture;
    device_tun: blocked_device => "device";
    pid_for_children: blocked_for_children ["pid"] => "namespace";
    time_for_children: blocked_for_children ["time"] => "namespace";
    tty_line: blocked_for_children ["line"] => "terminal-line";
    device_kvm: blocked_device ["kvm"] => "device";
}

broken! {
    proc_identity: proc_identity;
    thread_basic: thread_basic;
    sig_actions: sig_actions;
    sig_pending: sig_pending;
    timer_interval: timer_interval;
    mem_private: mem_private;
    mem_advice: mem_advice;
    mem_big: mem_big ["30"];
    mem_cow_family: mem_cow_family;
    file_regular: file_regular;
    event_epoll: event_epoll;
    tty_pair: tty_pair;
    cred_limits: cred_limits;
    thread_rseq_section: thread_rseq_section;
    socket_options: socket_options;
    socket_multicast: socket_multicast;
}

ways! {
    leave = Leave: sig_single_step event_inotify_renamed thread_rseq_section mem_memfd_kinds call_blocked_rare ipc_semaphores proc_stopped proc_identity thread_basic proc_tree sig_pending timer_posix call_blocked mem_shared_anon
          pipe_stream  tty_controlling unix_pairs lock_lease_unlinked;
    twice = Twice: call_blocked call_nanosleep call_clock_relative call_poll call_futex_relative ns_user proc_tree thread_100 sig_storm mem_private pipe_stream;
    again = Again: ns_files cred_dispatch tty_locked proc_keyrings mem_guard_kinds socket_options socket_multicast thread_folders event_inotify_pending ipc_sysv ipc_semaphores event_bpf socket_ring ns_uts ns_ipc ns_net ns_net_sockets ns_user ns_user_nested ns_cgroup_root cgroup_named ipc_mqueue ipc_segments proc_identity proc_sessions thread_basic sig_pending timer_fd call_blocked  mem_memfd
         pipe_data event_fds event_signals tty_pair unix_pairs unix_odd unix_places unix_flight tcp_states tcp_outside udp_odd file_odd event_epoll event_odd tty_odd pipe_odd file_top_number file_process_shared file_consoles lock_lease_unlinked;
    revive = Revive: event_bpf ipc_mqueue ipc_segments proc_tree thread_basic mem_private mem_shared_anon pipe_data ;
    increment = Increment: proc_tree mem_private mem_big mem_cow mem_cow_family mem_shared_anon sig_storm;
    other_vdso = OtherVdso: mem_vdso mem_vdso_calls proc_tree thread_100 mem_cow_family timer_clocks sig_in_handler;
    eager = Eager: proc_tree thread_100 mem_big  mem_file_private pipe_stream;
    lazy = Lazy: proc_tree thread_100 cpu_vector_threads sig_pending sig_altstack call_nanosleep
         mem_private mem_heap_stack mem_file_private mem_locked mem_huge mem_vdso
         pipe_data cred_seccomp;
}
