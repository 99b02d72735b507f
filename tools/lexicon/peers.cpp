// peers NAME WORDS QUERIES DIR: one other structure with the words and the queries of `tools/bench lexicon`.
//
// Prints: bytes, then nanoseconds for a random hit, a Zipf hit, a miss and id to string, then pages touched by
// 10,000 Zipf look-ups, then wrong answers. Every structure answers in both directions.
// NAME: tinycdb, lmdb, sqlite, marisa, cmph.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <cdb.h>
#include <cmph.h>
#include <lmdb.h>
#include <marisa.h>
#include <sqlite3.h>

using std::string;
using std::string_view;
using std::vector;

static const uint32_t kNone = 0xFFFFFFFF;

static void check(bool good, const char *what) {
  if (!good) {
    fprintf(stderr, "peers: %s failed\n", what);
    exit(70);
  }
}

static size_t size_of(const string &path) {
  struct stat info;
  check(stat(path.c_str(), &info) == 0, path.c_str());
  return info.st_size;
}

struct Map {
  const uint8_t *data = nullptr;
  size_t size = 0;
  explicit Map(const string &path) {
    int fd = open(path.c_str(), O_RDONLY);
    check(fd >= 0, path.c_str());
    size = size_of(path);
    data = static_cast<const uint8_t *>(mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0));
    check(data != MAP_FAILED, "mmap");
    close(fd);
  }
};

// What the benchmark wrote: a count, offsets (one more), ids, bytes.
struct Queries {
  Map map;
  uint32_t count;
  const uint32_t *offset, *id;
  const char *bytes;
  explicit Queries(const string &path) : map(path) {
    auto words = reinterpret_cast<const uint32_t *>(map.data);
    count = words[0];
    offset = words + 1;
    id = offset + count + 1;
    bytes = reinterpret_cast<const char *>(id + count);
  }
  string_view operator[](size_t i) const { return {bytes + offset[i], offset[i + 1] - offset[i]}; }
};

static void write_file(const string &path, const string &bytes) {
  FILE *file = fopen(path.c_str(), "wb");
  check(file && fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size() && fclose(file) == 0, "writing");
}

// What is compared: `build` from the words in id order, then `find` and `text`.
struct Peer {
  vector<string> files;
  virtual ~Peer() = default;
  virtual void build(const Queries &words, const string &path) = 0;
  virtual uint32_t find(string_view word) = 0;
  virtual int text(uint32_t id, char *out) = 0;
  size_t bytes() const {
    size_t sum = 0;
    for (auto &file : files) sum += size_of(file);
    return sum;
  }
};

struct TinyCdb : Peer {
  struct cdb forward, reverse;
  void build(const Queries &words, const string &path) override {
    for (int direction = 0; direction < 2; direction++) {
      files.push_back(path + (direction ? ".reverse" : ".forward"));
      int fd = open(files.back().c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
      struct cdb_make make;
      cdb_make_start(&make, fd);
      for (uint32_t i = 0; i < words.count; i++) {
        auto word = words[i];
        if (direction) cdb_make_add(&make, &i, 4, word.data(), word.size());
        else cdb_make_add(&make, word.data(), word.size(), &i, 4);
      }
      check(cdb_make_finish(&make) == 0, "cdb");
      close(fd);
    }
    cdb_init(&forward, open(files[0].c_str(), O_RDONLY));
    cdb_init(&reverse, open(files[1].c_str(), O_RDONLY));
  }
  uint32_t find(string_view word) override {
    if (cdb_find(&forward, word.data(), word.size()) <= 0) return kNone;
    uint32_t id;
    memcpy(&id, cdb_getdata(&forward), 4);
    return id;
  }
  int text(uint32_t id, char *out) override {
    if (cdb_find(&reverse, &id, 4) <= 0) return -1;
    memcpy(out, cdb_getdata(&reverse), cdb_datalen(&reverse));
    return cdb_datalen(&reverse);
  }
};

struct Lmdb : Peer {
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi forward, reverse;
  void build(const Queries &words, const string &path) override {
    files = {path};
    string loose = path + ".loose";
    check(!mdb_env_create(&env) && !mdb_env_set_maxdbs(env, 4) && !mdb_env_set_mapsize(env, 1ul << 30), "lmdb");
    check(!mdb_env_open(env, loose.c_str(), MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0644), "lmdb");
    mdb_txn_begin(env, nullptr, 0, &txn);
    mdb_dbi_open(txn, "f", MDB_CREATE, &forward);
    mdb_dbi_open(txn, "r", MDB_CREATE | MDB_INTEGERKEY, &reverse);
    vector<uint32_t> order(words.count);
    for (uint32_t i = 0; i < words.count; i++) order[i] = i;
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return words[a] < words[b]; });
    auto put = [&](MDB_dbi table, MDB_val key, MDB_val value) {
      check(!mdb_put(txn, table, &key, &value, MDB_APPEND), "mdb_put");
    };
    for (uint32_t i : order) put(forward, {words[i].size(), (void *)words[i].data()}, {4, &i});
    for (uint32_t i = 0; i < words.count; i++) put(reverse, {4, &i}, {words[i].size(), (void *)words[i].data()});
    check(!mdb_txn_commit(txn), "mdb_txn_commit");
    int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
    check(!mdb_env_copyfd2(env, fd, MDB_CP_COMPACT), "mdb_env_copyfd2");
    close(fd);
    mdb_env_close(env);
    unlink(loose.c_str());
    mdb_env_create(&env);
    mdb_env_set_maxdbs(env, 4);
    check(!mdb_env_open(env, path.c_str(), MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY | MDB_NORDAHEAD, 0644), "lmdb");
    mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn);
    mdb_dbi_open(txn, "f", 0, &forward);
    mdb_dbi_open(txn, "r", MDB_INTEGERKEY, &reverse);
  }
  uint32_t find(string_view word) override {
    MDB_val key{word.size(), (void *)word.data()}, value;
    if (mdb_get(txn, forward, &key, &value)) return kNone;
    uint32_t id;
    memcpy(&id, value.mv_data, 4);
    return id;
  }
  int text(uint32_t id, char *out) override {
    MDB_val key{4, &id}, value;
    if (mdb_get(txn, reverse, &key, &value)) return -1;
    memcpy(out, value.mv_data, value.mv_size);
    return value.mv_size;
  }
};

struct Sqlite : Peer {
  sqlite3 *db;
  sqlite3_stmt *by_word, *by_id;
  void build(const Queries &words, const string &path) override {
    files = {path};
    check(sqlite3_open(path.c_str(), &db) == SQLITE_OK, "sqlite");
    sqlite3_exec(db, "pragma journal_mode=off; pragma synchronous=off;"
                 "create table t(word text primary key, id integer) without rowid;"
                 "create unique index x on t(id); begin", nullptr, nullptr, nullptr);
    sqlite3_stmt *insert;
    sqlite3_prepare_v2(db, "insert into t values(?, ?)", -1, &insert, nullptr);
    for (uint32_t i = 0; i < words.count; i++) {
      sqlite3_bind_text(insert, 1, words[i].data(), words[i].size(), SQLITE_STATIC);
      sqlite3_bind_int(insert, 2, i);
      check(sqlite3_step(insert) == SQLITE_DONE, "insert");
      sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    sqlite3_exec(db, "commit; vacuum", nullptr, nullptr, nullptr);
    sqlite3_close(db);
    check(sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK, "sqlite");
    sqlite3_exec(db, "pragma mmap_size=1073741824; begin; select 1 from t limit 1", nullptr, nullptr, nullptr);
    sqlite3_prepare_v2(db, "select id from t where word=?", -1, &by_word, nullptr);
    sqlite3_prepare_v2(db, "select word from t where id=?", -1, &by_id, nullptr);
  }
  uint32_t find(string_view word) override {
    sqlite3_bind_text(by_word, 1, word.data(), word.size(), SQLITE_STATIC);
    uint32_t id = sqlite3_step(by_word) == SQLITE_ROW ? sqlite3_column_int(by_word, 0) : kNone;
    sqlite3_reset(by_word);
    return id;
  }
  int text(uint32_t id, char *out) override {
    sqlite3_bind_int(by_id, 1, id);
    int size = -1;
    if (sqlite3_step(by_id) == SQLITE_ROW) {
      size = sqlite3_column_bytes(by_id, 0);
      memcpy(out, sqlite3_column_text(by_id, 0), size);
    }
    sqlite3_reset(by_id);
    return size;
  }
};

// A trie has an order of its own: two tables translate, as our ids are given.
struct Marisa : Peer {
  marisa::Trie trie;
  marisa::Agent forward, reverse;
  std::unique_ptr<Map> map;
  uint32_t count = 0;
  void build(const Queries &words, const string &path) override {
    files = {path, path + ".order"};
    marisa::Keyset keys;
    for (uint32_t i = 0; i < words.count; i++) keys.push_back(words[i].data(), words[i].size());
    marisa::Trie made;
    made.build(keys);
    made.save(path.c_str());
    count = words.count;
    string order(8ul * count, 0);
    auto table = reinterpret_cast<uint32_t *>(order.data());
    for (uint32_t i = 0; i < count; i++) {
      table[keys[i].id()] = i;
      table[count + i] = keys[i].id();
    }
    write_file(files[1], order);
    trie.mmap(path.c_str());
    map = std::make_unique<Map>(files[1]);
  }
  uint32_t find(string_view word) override {
    forward.set_query(word.data(), word.size());
    if (!trie.lookup(forward)) return kNone;
    return reinterpret_cast<const uint32_t *>(map->data)[forward.key().id()];
  }
  int text(uint32_t id, char *out) override {
    reverse.set_query(size_t(reinterpret_cast<const uint32_t *>(map->data)[count + id]));
    trie.reverse_lookup(reverse);
    memcpy(out, reverse.key().ptr(), reverse.key().length());
    return reverse.key().length();
  }
};

// BDZ, with the words in id order behind it: a perfect hash alone answers any word.
struct Cmph : Peer {
  std::unique_ptr<Map> map;
  const uint32_t *order, *offset;
  const char *bytes;
  uint32_t count = 0;
  void build(const Queries &words, const string &path) override {
    files = {path};
    count = words.count;
    vector<string> copies;
    vector<char *> pointers;
    for (uint32_t i = 0; i < count; i++) copies.emplace_back(words[i]);
    for (auto &word : copies) pointers.push_back(word.data());
    auto source = cmph_io_vector_adapter(pointers.data(), count);
    auto config = cmph_config_new(source);
    cmph_config_set_algo(config, CMPH_BDZ);
    auto hash = cmph_new(config);
    check(hash != nullptr, "cmph");
    uint32_t packed = (cmph_packed_size(hash) + 7) & ~7u;
    string file(8 + packed, 0);
    memcpy(file.data() + 4, &packed, 4);
    cmph_pack(hash, file.data() + 8);
    vector<uint32_t> numbers(std::max(count, cmph_size(hash)));
    for (uint32_t i = 0; i < count; i++) numbers[cmph_search(hash, copies[i].data(), copies[i].size())] = i;
    numbers.resize(count);
    uint32_t at = 0;
    for (auto &word : copies) {
      numbers.push_back(at);
      at += word.size();
    }
    numbers.push_back(at);
    file.append(reinterpret_cast<const char *>(numbers.data()), numbers.size() * 4);
    for (auto &word : copies) file += word;
    write_file(path, file);
    map = std::make_unique<Map>(path);
    order = reinterpret_cast<const uint32_t *>(map->data + 8 + packed);
    offset = order + count;
    bytes = reinterpret_cast<const char *>(offset + count + 1);
  }
  uint32_t find(string_view word) override {
    uint32_t slot = cmph_search_packed((void *)(map->data + 8), word.data(), word.size());
    if (slot >= count) return kNone;
    uint32_t id = order[slot], at = offset[id];
    return offset[id + 1] - at == word.size() && !memcmp(bytes + at, word.data(), word.size()) ? id : kNone;
  }
  int text(uint32_t id, char *out) override {
    uint32_t at = offset[id];
    memcpy(out, bytes + at, offset[id + 1] - at);
    return offset[id + 1] - at;
  }
};

static double thread_ns() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

static volatile uint64_t sink;

// The same procedure as in LexiconSpeed.swift: groups of 25,000, the best of 5 passes or of as many as a second
// takes, the median of the groups.
static double measure(uint32_t count, const std::function<uint64_t(uint32_t, uint32_t)> &run) {
  const uint32_t group = 25000;
  vector<double> best(count / group, 1e30);
  double begin = thread_ns();
  for (int pass = 0; pass < 5 || thread_ns() - begin < 1e9; pass++)
    for (uint32_t i = 0; i < best.size(); i++) {
      double start = thread_ns();
      sink = run(i * group, (i + 1) * group);
      best[i] = std::min(best[i], (thread_ns() - start) / group);
    }
  std::sort(best.begin(), best.end());
  return best[(best.size() - 1) / 2];
}

static volatile size_t pages;
static void touched(int, siginfo_t *info, void *) {
  auto page = reinterpret_cast<void *>(reinterpret_cast<uintptr_t>(info->si_addr) & ~4095ul);
  if (mprotect(page, 4096, PROT_READ)) _exit(71);
  pages = pages + 1;
}

static size_t touched_pages(Peer &peer, const Queries &queries) {
  struct sigaction action {};
  action.sa_sigaction = touched;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  vector<std::pair<uintptr_t, uintptr_t>> ranges;
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[4096];
  while (fgets(line, sizeof line, maps))
    for (auto &file : peer.files)
      if (strstr(line, file.c_str())) {
        unsigned long start, end;
        sscanf(line, "%lx-%lx", &start, &end);
        ranges.push_back({start, end});
        break;
      }
  fclose(maps);
  for (auto &range : ranges) mprotect((void *)range.first, range.second - range.first, PROT_NONE);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < 10000; i++) sum += peer.find(queries[i]);
  sink = sum;
  for (auto &range : ranges) mprotect((void *)range.first, range.second - range.first, PROT_READ);
  return pages;
}

int main(int argc, char **argv) {
  check(argc == 5, "usage: peers NAME WORDS QUERIES DIR");
  string name = argv[1], prefix = argv[3];
  std::unique_ptr<Peer> peer;
  if (name == "tinycdb") peer = std::make_unique<TinyCdb>();
  if (name == "lmdb") peer = std::make_unique<Lmdb>();
  if (name == "sqlite") peer = std::make_unique<Sqlite>();
  if (name == "marisa") peer = std::make_unique<Marisa>();
  if (name == "cmph") peer = std::make_unique<Cmph>();
  check(peer != nullptr, "no such peer");
  Queries words(argv[2]), random(prefix + ".random"), zipf(prefix + ".zipf"), miss(prefix + ".miss");
  // Not the file of an earlier size.
  string path = string(argv[4]) + "/" + name;
  unlink(path.c_str());
  peer->build(words, path);
  size_t wrong = 0;
  char out[4096];
  for (uint32_t i = 0; i < words.count; i++) {
    wrong += peer->find(words[i]) != i;
    int size = peer->text(i, out);
    wrong += size != int(words[i].size()) || memcmp(out, words[i].data(), size) != 0;
  }
  for (uint32_t i = 0; i < miss.count; i++) wrong += peer->find(miss[i]) != kNone;
  auto hits = [&](const Queries &queries) {
    return measure(queries.count, [&](uint32_t i, uint32_t end) {
      uint64_t sum = 0;
      for (; i < end; i++) sum += peer->find(queries[i]);
      return sum;
    });
  };
  double reverse = measure(random.count, [&](uint32_t i, uint32_t end) {
    uint64_t sum = 0;
    for (; i < end; i++) sum += peer->text(random.id[i], out) + out[0];
    return sum;
  });
  double a = hits(random), b = hits(zipf), c = hits(miss);
  printf("%zu %.2f %.2f %.2f %.2f %zu %zu\n", peer->bytes(), a, b, c, reverse, touched_pages(*peer, zipf), wrong);
  return 0;
}
