// eBPF maps: an array, a hash, one with a value for each processor, a prefix tree, a least-recently-used one, with
// names, flags and entries; one frozen, one open for reading only, one shared with a child, two descriptions of one.
#include <linux/bpf.h>

#include "state.h"

#ifndef BPF_F_RDONLY_PROG
#define BPF_F_RDONLY_PROG (1U << 7)
#endif
enum { ARRAY, HASH, EACH, TREE, RECENT, FROZEN, MAPS };
static int maps[MAPS];

static int bpf(int command, union bpf_attr *attributes) { return syscall(SYS_bpf, command, attributes, sizeof *attributes); }

static int make(int kind, unsigned key, unsigned value, unsigned entries, unsigned flags, const char *name) {
    union bpf_attr a = {.map_type = kind, .key_size = key, .value_size = value, .max_entries = entries, .map_flags = flags};
    strcpy(a.map_name, name);
    int fd = bpf(BPF_MAP_CREATE, &a);
    if (fd == -1 && (errno == EPERM || errno == ENOSYS)) state_skip("bpf: %s", strerror(errno));
    return MUST(fd);
}
static int put(int fd, const void *key, const void *value, unsigned long flags) {
    union bpf_attr a = {.map_fd = fd, .key = (uintptr_t)key, .value = (uintptr_t)value, .flags = flags};
    return bpf(BPF_MAP_UPDATE_ELEM, &a);
}
static int get(int fd, const void *key, void *value) {
    union bpf_attr a = {.map_fd = fd, .key = (uintptr_t)key, .value = (uintptr_t)value};
    return bpf(BPF_MAP_LOOKUP_ELEM, &a);
}
static struct bpf_map_info info_of(int fd) {
    struct bpf_map_info info = {0};
    union bpf_attr a = {.info.bpf_fd = fd, .info.info_len = sizeof info, .info.info = (uintptr_t)&info};
    MUST(bpf(BPF_OBJ_GET_INFO_BY_FD, &a));
    return info;
}
static int again(int fd, unsigned flags) {
    union bpf_attr a = {.map_id = info_of(fd).id, .open_flags = flags};
    return MUST(bpf(BPF_MAP_GET_FD_BY_ID, &a));
}

static void child(void *arg) {
    (void)arg;
    state_child_ready();
    unsigned key = 3;
    unsigned long value;
    MUST(get(maps[HASH], &key, &value));
    EQUAL(value, 3003);
    value = 7;
    MUST(put(maps[HASH], &key, &value, BPF_ANY));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    maps[ARRAY] = make(BPF_MAP_TYPE_ARRAY, 4, 24, 100, BPF_F_RDONLY_PROG, "an_array");
    maps[HASH] = make(BPF_MAP_TYPE_HASH, 4, 8, 500, BPF_F_NO_PREALLOC, "a.hash");
    maps[EACH] = make(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 12, 5, 0, "");
    maps[TREE] = make(BPF_MAP_TYPE_LPM_TRIE, 8, 4, 10, BPF_F_NO_PREALLOC, "tree");
    maps[RECENT] = make(BPF_MAP_TYPE_LRU_HASH, 16, 4, 50, 0, "fifteen_letters");
    maps[FROZEN] = make(BPF_MAP_TYPE_ARRAY, 4, 4, 3, 0, "frozen");
    char long_value[24] = "the 42nd";
    unsigned key = 42;
    MUST(put(maps[ARRAY], &key, long_value, BPF_ANY));
    for (key = 0; key < 300; key++) {
        unsigned long value = key * 1001;
        MUST(put(maps[HASH], &key, &value, BPF_NOEXIST));
    }
    char each[16 * 256];
    state_fill(each, sizeof each, 5);
    for (key = 0; key < 5; key += 4) MUST(put(maps[EACH], &key, each, BPF_ANY));
    unsigned prefixes[][2] = {{8, 0x0000000a}, {16, 0x0000010a}};
    for (unsigned i = 0; i < 2; i++) MUST(put(maps[TREE], prefixes[i], &i, BPF_ANY));
    char name[16] = "recently";
    unsigned number = 77;
    MUST(put(maps[RECENT], name, &number, BPF_ANY));
    key = 1;
    MUST(put(maps[FROZEN], &key, &number, BPF_ANY));
    union bpf_attr freeze = {.map_fd = maps[FROZEN]};
    MUST(bpf(BPF_MAP_FREEZE, &freeze));
    int reader = again(maps[HASH], BPF_F_RDONLY), writer = again(maps[HASH], BPF_F_WRONLY);
    pid_t pid = state_fork(child, NULL);

    state_ready();

    struct bpf_map_info info = info_of(maps[ARRAY]);
    EQUAL(info.type, BPF_MAP_TYPE_ARRAY);
    EQUAL(info.key_size, 4);
    EQUAL(info.value_size, 24);
    EQUAL(info.max_entries, 100);
    EQUAL(info.map_flags, BPF_F_RDONLY_PROG);
    CHECK(strcmp(info.name, "an_array") == 0, "its name is %s", info.name);
    info = info_of(maps[HASH]);
    EQUAL(info.map_flags, BPF_F_NO_PREALLOC);
    EQUAL(info.id, info_of(reader).id);
    EQUAL(info.id, info_of(writer).id);
    CHECK(strcmp(info_of(maps[RECENT]).name, "fifteen_letters") == 0, "a name was cut");
    char got[24];
    for (key = 0; key < 100; key++) {
        MUST(get(maps[ARRAY], &key, got));
        CHECK(memcmp(got, key == 42 ? long_value : (char[24]){0}, 24) == 0, "entry %u of the array", key);
    }
    unsigned long value;
    if (state_breaking()) MUST(put(maps[HASH], &(unsigned){9}, &(unsigned long){1}, BPF_ANY));
    for (key = 0; key < 300; key++) {
        MUST(get(reader, &key, &value));
        EQUAL(value, key * 1001);
    }
    EQUAL(get(maps[HASH], &key, &value), -1);
    EQUAL(put(reader, &key, &value, BPF_ANY), -1);
    EQUAL(errno, EPERM);
    EQUAL(get(writer, &key, &value), -1);
    EQUAL(errno, EPERM);
    MUST(put(writer, &key, &value, BPF_NOEXIST));
    char values[sizeof each];
    int processors = sysconf(_SC_NPROCESSORS_CONF);
    for (key = 0; key < 5; key++) {
        MUST(get(maps[EACH], &key, values));
        for (int i = 0; i < processors; i++)
            CHECK(memcmp(values + i * 16, key % 4 ? (char[16]){0} : each + i * 16, 12) == 0, "entry %u of processor %d", key, i);
    }
    unsigned address[] = {32, 0x0501010a};
    MUST(get(maps[TREE], address, &number));
    EQUAL(number, 1);
    address[1] = 0x0502020a;
    MUST(get(maps[TREE], address, &number));
    EQUAL(number, 0);
    MUST(get(maps[RECENT], name, &number));
    EQUAL(number, 77);
    key = 1;
    MUST(get(maps[FROZEN], &key, &number));
    EQUAL(number, 77);
    EQUAL(put(maps[FROZEN], &key, &number, BPF_ANY), -1);
    EQUAL(errno, EPERM);
    state_child_end(pid);
    key = 3;
    MUST(get(maps[HASH], &key, &value));
    EQUAL(value, 7);
    state_pass();
}
