// Cheap stand-ins for the primitives of sky_crypto.h, put in their places by the linker (--wrap in Package.swift) in
// the simulator and nowhere else. They keep secrets from nobody. What they keep is what the code above relies on: the
// same input gives the same output on every machine; any other key, seed, counter or byte gives another one, and a tag
// or signature that does not match; a KEM whose two sides agree exactly when key and ciphertext are untouched.
// With sim_use_real_crypto(true) every call goes to the real primitive.
#include <sky_crypto.h>
#include <string.h>

#include "sim_host.h"

static bool is_real;
static bool opens_anything;
void sim_use_real_crypto(bool real) { is_real = real; }
void sim_plant_unchecked_tags(void) { opens_anything = true; }

// MARK: Mixing

typedef struct {
  uint64_t a, b, bytes;
  uint8_t rest[16];
} mixer;
_Static_assert(sizeof(mixer) <= sizeof(sky_sha256_state), "a hash's state has room for it");

// Every machine that runs this is little-endian.
static uint64_t load(const void *from) {
  uint64_t n;
  memcpy(&n, from, 8);
  return n;
}

static void mix(mixer *m, uint64_t x, uint64_t y) {
  m->a = (m->a ^ x) * 0x9E3779B97F4A7C15u;
  m->a ^= m->a >> 32;
  m->b = (m->b ^ y ^ m->a) * 0xD6E8FEB86659FD93u;
  m->b ^= m->b >> 29;
}

static void begin(mixer *m, uint64_t label) {
  memset(m, 0, sizeof *m);
  m->a = label;
  m->b = ~label;
}

/// Fewer than 16 bytes, without a call.
static void copy_few(uint8_t *to, const uint8_t *from, size_t n) {
  size_t i = 0;
  if (n & 8) memcpy(to, from, 8), i = 8;
  if (n & 4) memcpy(to + i, from + i, 4), i += 4;
  if (n & 2) memcpy(to + i, from + i, 2), i += 2;
  if (n & 1) to[i] = from[i];
}

static void absorb(mixer *m, const void *bytes, size_t n) {
  const uint8_t *at = bytes;
  size_t held = m->bytes & 15;
  m->bytes += n;
  if (held > 0) {
    size_t take = n < 16 - held ? n : 16 - held;
    copy_few(m->rest + held, at, take);
    at += take;
    n -= take;
    if (held + take < 16) return;
    mix(m, load(m->rest), load(m->rest + 8));
  }
  for (; n >= 16; n -= 16, at += 16) mix(m, load(at), load(at + 8));
  copy_few(m->rest, at, n);
}

static uint64_t next(uint64_t *state) {  // splitmix64 (Steele, Lea, Flood, 2014)
  uint64_t z = *state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

/// Ends a copy: 128 bits of state become `n` bytes, a multiple of eight.
static void squeeze(const mixer *from, void *out, size_t n) {
  mixer m = *from;
  size_t held = m.bytes & 15;
  uint64_t low = load(m.rest), high = load(m.rest + 8);
  if (held < 8) high = 0; else high &= ((uint64_t)1 << 8 * (held - 8)) - 1;
  if (held < 8) low &= ((uint64_t)1 << 8 * held) - 1;
  mix(&m, low, high);
  mix(&m, m.bytes, held);
  mix(&m, 1, 2);
  uint64_t left = m.a, right = m.b;
  uint8_t *at = out;
  for (; n >= 16; n -= 16, at += 16) {
    uint64_t words[2] = {next(&left), next(&right)};
    memcpy(at, words, 16);
  }
  if (n > 0) {
    uint64_t word = next(&left);
    memcpy(at, &word, 8);
  }
}

// MARK: Hashes

void __real_sky_sha256_start(sky_sha256_state *state);
void __real_sky_sha256_update(sky_sha256_state *state, const void *bytes, size_t n);
void __real_sky_sha256_peek(const sky_sha256_state *state, uint8_t digest[32]);
void __real_sky_hmac_sha256(uint8_t tag[32], const uint8_t key[32], const void *a, size_t an, const void *b,
                            size_t bn, const void *c, size_t cn);
void __real_sky_hkdf_extract(uint8_t prk[32], const uint8_t salt[32], const void *a, size_t an, const void *b,
                             size_t bn);
void __real_sky_hkdf_expand(uint8_t okm[32], const uint8_t prk[32], const void *info, size_t n);

void __wrap_sky_sha256_start(sky_sha256_state *state) {
  if (is_real) return __real_sky_sha256_start(state);
  begin((mixer *)state, 1);
}

void __wrap_sky_sha256_update(sky_sha256_state *state, const void *bytes, size_t n) {
  if (is_real) return __real_sky_sha256_update(state, bytes, n);
  absorb((mixer *)state, bytes, n);
}

void __wrap_sky_sha256_peek(const sky_sha256_state *state, uint8_t digest[32]) {
  if (is_real) return __real_sky_sha256_peek(state, digest);
  squeeze((const mixer *)state, digest, 32);
}

static void keyed(uint8_t out[32], uint64_t label, const uint8_t key[32], const void *a, size_t an, const void *b,
                  size_t bn, const void *c, size_t cn) {
  mixer m;
  begin(&m, label);
  absorb(&m, key, 32);
  absorb(&m, a, an);
  absorb(&m, b, bn);
  absorb(&m, c, cn);
  squeeze(&m, out, 32);
}

void __wrap_sky_hmac_sha256(uint8_t tag[32], const uint8_t key[32], const void *a, size_t an, const void *b,
                            size_t bn, const void *c, size_t cn) {
  if (is_real) return __real_sky_hmac_sha256(tag, key, a, an, b, bn, c, cn);
  keyed(tag, 2, key, a, an, b, bn, c, cn);
}

void __wrap_sky_hkdf_extract(uint8_t prk[32], const uint8_t salt[32], const void *a, size_t an, const void *b,
                             size_t bn) {
  if (is_real) return __real_sky_hkdf_extract(prk, salt, a, an, b, bn);
  keyed(prk, 3, salt, a, an, b, bn, NULL, 0);
}

void __wrap_sky_hkdf_expand(uint8_t okm[32], const uint8_t prk[32], const void *info, size_t n) {
  if (is_real) return __real_sky_hkdf_expand(okm, prk, info, n);
  keyed(okm, 4, prk, info, n, NULL, 0, NULL, 0);
}

// MARK: Signatures: a hash that whoever knows the public key could make

void __real_sky_ed25519_keypair(uint8_t public_key[32], uint8_t secret[64], const uint8_t seed[32]);
void __real_sky_ed25519_sign(uint8_t signature[64], const void *message, size_t n, const uint8_t secret[64]);
bool __real_sky_ed25519_verify(const uint8_t signature[64], const void *message, size_t n,
                               const uint8_t public_key[32]);

void __wrap_sky_ed25519_keypair(uint8_t public_key[32], uint8_t secret[64], const uint8_t seed[32]) {
  if (is_real) return __real_sky_ed25519_keypair(public_key, secret, seed);
  keyed(public_key, 5, seed, NULL, 0, NULL, 0, NULL, 0);
  memcpy(secret, seed, 32);
  memcpy(secret + 32, public_key, 32);
}

static void sign(uint8_t signature[64], const void *message, size_t n, const uint8_t public_key[32]) {
  mixer m;
  begin(&m, 6);
  absorb(&m, public_key, 32);
  absorb(&m, message, n);
  squeeze(&m, signature, 64);
}

void __wrap_sky_ed25519_sign(uint8_t signature[64], const void *message, size_t n, const uint8_t secret[64]) {
  if (is_real) return __real_sky_ed25519_sign(signature, message, n, secret);
  sign(signature, message, n, secret + 32);
}

bool __wrap_sky_ed25519_verify(const uint8_t signature[64], const void *message, size_t n,
                               const uint8_t public_key[32]) {
  if (is_real) return __real_sky_ed25519_verify(signature, message, n, public_key);
  uint8_t expected[64];
  sign(expected, message, n, public_key);
  return memcmp(signature, expected, 64) == 0;
}

// MARK: KEM: the shared secret is a hash of public key and ciphertext

int __real_sky_xwing_keypair(uint8_t public_key[1216], uint8_t secret[32], const uint8_t seed[32]);
int __real_sky_xwing_encapsulate(uint8_t ciphertext[1120], uint8_t shared[32], const uint8_t public_key[1216],
                                 const uint8_t seed[64]);
int __real_sky_xwing_decapsulate(uint8_t shared[32], const uint8_t ciphertext[1120], const uint8_t secret[32]);

static void public_of(uint8_t public_key[1216], const uint8_t secret[32]) {
  mixer m;
  begin(&m, 7);
  absorb(&m, secret, 32);
  squeeze(&m, public_key, 1216);
}

static void agree(uint8_t shared[32], const uint8_t public_key[1216], const uint8_t ciphertext[1120]) {
  mixer m;
  begin(&m, 8);
  absorb(&m, public_key, 1216);
  absorb(&m, ciphertext, 1120);
  squeeze(&m, shared, 32);
}

int __wrap_sky_xwing_keypair(uint8_t public_key[1216], uint8_t secret[32], const uint8_t seed[32]) {
  if (is_real) return __real_sky_xwing_keypair(public_key, secret, seed);
  memcpy(secret, seed, 32);
  public_of(public_key, secret);
  return 0;
}

int __wrap_sky_xwing_encapsulate(uint8_t ciphertext[1120], uint8_t shared[32], const uint8_t public_key[1216],
                                 const uint8_t seed[64]) {
  if (is_real) return __real_sky_xwing_encapsulate(ciphertext, shared, public_key, seed);
  mixer m;
  begin(&m, 9);
  absorb(&m, seed, 64);
  squeeze(&m, ciphertext, 1120);
  agree(shared, public_key, ciphertext);
  return 0;
}

int __wrap_sky_xwing_decapsulate(uint8_t shared[32], const uint8_t ciphertext[1120], const uint8_t secret[32]) {
  if (is_real) return __real_sky_xwing_decapsulate(shared, ciphertext, secret);
  uint8_t public_key[1216];
  public_of(public_key, secret);
  agree(shared, public_key, ciphertext);
  return 0;
}

// MARK: Records

void __real_sky_aead_seal(void *text, size_t n, uint8_t tag[16], const void *ad, size_t adn, uint64_t counter,
                          const uint8_t key[32]);
int __real_sky_aead_open(void *text, size_t n, const uint8_t tag[16], const void *ad, size_t adn, uint64_t counter,
                         const uint8_t key[32]);
void __real_sky_drbg_next(uint8_t key[32], uint8_t out[32]);

/// Adds or takes away the same bytes, so that nobody reads a record before it is opened.
static void scramble(uint8_t *text, size_t n, uint64_t counter, const uint8_t key[32]) {
  uint64_t state = load(key) ^ load(key + 8) * 31 ^ counter * 0xD6E8FEB86659FD93u;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t word = load(text + i) ^ next(&state);
    memcpy(text + i, &word, 8);
  }
  uint64_t last = next(&state);
  for (; i < n; i++, last >>= 8) text[i] ^= (uint8_t)last;
}

static void tag_of(uint8_t tag[16], const void *text, size_t n, const void *ad, size_t adn, uint64_t counter,
                   const uint8_t key[32]) {
  mixer m;
  begin(&m, 10 ^ counter << 8);
  absorb(&m, key, 32);
  absorb(&m, ad, adn);
  absorb(&m, text, n);
  squeeze(&m, tag, 16);
}

void __wrap_sky_aead_seal(void *text, size_t n, uint8_t tag[16], const void *ad, size_t adn, uint64_t counter,
                          const uint8_t key[32]) {
  if (is_real) return __real_sky_aead_seal(text, n, tag, ad, adn, counter, key);
  scramble(text, n, counter, key);
  tag_of(tag, text, n, ad, adn, counter, key);
}

int __wrap_sky_aead_open(void *text, size_t n, const uint8_t tag[16], const void *ad, size_t adn, uint64_t counter,
                         const uint8_t key[32]) {
  if (is_real) return __real_sky_aead_open(text, n, tag, ad, adn, counter, key);
  uint8_t expected[16];
  tag_of(expected, text, n, ad, adn, counter, key);
  if (memcmp(tag, expected, 16) != 0 && !opens_anything) {
    memset(text, 0, n);
    return -1;
  }
  scramble(text, n, counter, key);
  return 0;
}

void __real_sky_aegis_seal(void *text, size_t n, uint8_t tag[32], const void *ad, size_t adn, uint64_t counter,
                           const uint8_t key[32]);
int __real_sky_aegis_open(void *text, size_t n, const uint8_t tag[32], const void *ad, size_t adn, uint64_t counter,
                          const uint8_t key[32]);

/// The same with a longer tag.
void __wrap_sky_aegis_seal(void *text, size_t n, uint8_t tag[32], const void *ad, size_t adn, uint64_t counter,
                           const uint8_t key[32]) {
  if (is_real) return __real_sky_aegis_seal(text, n, tag, ad, adn, counter, key);
  __wrap_sky_aead_seal(text, n, tag, ad, adn, counter, key);
  memcpy(tag + 16, tag, 16);
}

int __wrap_sky_aegis_open(void *text, size_t n, const uint8_t tag[32], const void *ad, size_t adn, uint64_t counter,
                          const uint8_t key[32]) {
  if (is_real) return __real_sky_aegis_open(text, n, tag, ad, adn, counter, key);
  if (memcmp(tag, tag + 16, 16) != 0 && !opens_anything) {
    memset(text, 0, n);
    return -1;
  }
  return __wrap_sky_aead_open(text, n, tag, ad, adn, counter, key);
}

void __real_sky_xaead_seal(void *text, size_t n, uint8_t tag[16], const void *ad, size_t adn, const uint8_t nonce[24],
                           const uint8_t key[32]);
int __real_sky_xaead_open(void *text, size_t n, const uint8_t tag[16], const void *ad, size_t adn,
                          const uint8_t nonce[24], const uint8_t key[32]);

/// Key and nonce as another key, for the stand-ins above.
static void extended(uint8_t out[32], const uint8_t nonce[24], const uint8_t key[32]) {
  keyed(out, 12, key, nonce, 24, NULL, 0, NULL, 0);
}

void __wrap_sky_xaead_seal(void *text, size_t n, uint8_t tag[16], const void *ad, size_t adn, const uint8_t nonce[24],
                           const uint8_t key[32]) {
  if (is_real) return __real_sky_xaead_seal(text, n, tag, ad, adn, nonce, key);
  uint8_t other[32];
  extended(other, nonce, key);
  __wrap_sky_aead_seal(text, n, tag, ad, adn, 0, other);
}

int __wrap_sky_xaead_open(void *text, size_t n, const uint8_t tag[16], const void *ad, size_t adn,
                          const uint8_t nonce[24], const uint8_t key[32]) {
  if (is_real) return __real_sky_xaead_open(text, n, tag, ad, adn, nonce, key);
  uint8_t other[32];
  extended(other, nonce, key);
  return __wrap_sky_aead_open(text, n, tag, ad, adn, 0, other);
}

void __wrap_sky_drbg_next(uint8_t key[32], uint8_t out[32]) {
  if (is_real) return __real_sky_drbg_next(key, out);
  uint8_t both[64];
  mixer m;
  begin(&m, 11);
  absorb(&m, key, 32);
  squeeze(&m, both, 64);
  memcpy(key, both, 32);
  memcpy(out, both + 32, 32);
}
