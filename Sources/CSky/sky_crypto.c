#include "sky_crypto.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(sky_sha256_state) >= sizeof(crypto_hash_sha256_state), "state fits");
_Static_assert(crypto_kem_xwing_PUBLICKEYBYTES == 1216, "X-Wing public key");
_Static_assert(crypto_kem_xwing_CIPHERTEXTBYTES == 1120, "X-Wing ciphertext");
_Static_assert(crypto_kem_xwing_SECRETKEYBYTES == 32, "X-Wing secret is its seed");
_Static_assert(crypto_kem_mlkem768_SECRETKEYBYTES == 2400, "ML-KEM-768 secret");
_Static_assert(crypto_aead_aegis256_ABYTES == 32 && crypto_aead_aegis256_NPUBBYTES == 32, "AEGIS-256");

int sky_crypto_init(void) { return sodium_init() < 0 ? -1 : 0; }

void sky_wipe(void *memory, size_t bytes) { sodium_memzero(memory, bytes); }

bool sky_equal_secret(const void *a, const void *b, size_t bytes) {
  return sodium_memcmp(a, b, bytes) == 0;
}

void sky_sha256_start(sky_sha256_state *state) {
  crypto_hash_sha256_init((crypto_hash_sha256_state *)state);
}

void sky_sha256_update(sky_sha256_state *state, const void *bytes, size_t n) {
  crypto_hash_sha256_update((crypto_hash_sha256_state *)state, bytes, n);
}

void sky_sha256_peek(const sky_sha256_state *state, uint8_t digest[32]) {
  sky_sha256_state copy = *state;
  crypto_hash_sha256_final((crypto_hash_sha256_state *)&copy, digest);
}

static void hmac_parts(uint8_t tag[32], const uint8_t *key, size_t kn, const void *a, size_t an,
                       const void *b, size_t bn, const void *c, size_t cn) {
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, key, kn);
  if (an) crypto_auth_hmacsha256_update(&state, a, an);
  if (bn) crypto_auth_hmacsha256_update(&state, b, bn);
  if (cn) crypto_auth_hmacsha256_update(&state, c, cn);
  crypto_auth_hmacsha256_final(&state, tag);
  sodium_memzero(&state, sizeof state);
}

void sky_hmac_sha256(uint8_t tag[32], const uint8_t key[32], const void *a, size_t an, const void *b,
                     size_t bn, const void *c, size_t cn) {
  hmac_parts(tag, key, 32, a, an, b, bn, c, cn);
}

void sky_hkdf_extract(uint8_t prk[32], const uint8_t salt[32], const void *a, size_t an,
                      const void *b, size_t bn) {
  hmac_parts(prk, salt, 32, a, an, b, bn, NULL, 0);
}

void sky_hkdf_expand(uint8_t okm[32], const uint8_t prk[32], const void *info, size_t n) {
  crypto_kdf_hkdf_sha256_expand(okm, 32, info, n, prk);
}

void sky_ed25519_keypair(uint8_t public_key[32], uint8_t secret[64], const uint8_t seed[32]) {
  crypto_sign_ed25519_seed_keypair(public_key, secret, seed);
}

void sky_ed25519_sign(uint8_t signature[64], const void *message, size_t n, const uint8_t secret[64]) {
  crypto_sign_ed25519_detached(signature, NULL, message, n, secret);
}

bool sky_ed25519_verify(const uint8_t signature[64], const void *message, size_t n,
                        const uint8_t public_key[32]) {
  return crypto_sign_ed25519_verify_detached(signature, message, n, public_key) == 0;
}

int sky_xwing_keypair(uint8_t public_key[1216], uint8_t secret[32], const uint8_t seed[32]) {
  return crypto_kem_xwing_seed_keypair(public_key, secret, seed);
}

int sky_xwing_encapsulate(uint8_t ciphertext[1120], uint8_t shared[32],
                          const uint8_t public_key[1216], const uint8_t seed[64]) {
  return crypto_kem_xwing_enc_deterministic(ciphertext, shared, public_key, seed);
}

int sky_xwing_decapsulate(uint8_t shared[32], const uint8_t ciphertext[1120],
                          const uint8_t secret[32]) {
  return crypto_kem_xwing_dec(shared, ciphertext, secret);
}

int sky_mlkem768_keypair(uint8_t public_key[1184], uint8_t secret[2400], const uint8_t seed[64]) {
  return crypto_kem_mlkem768_seed_keypair(public_key, secret, seed);
}

int sky_mlkem768_encapsulate(uint8_t ciphertext[1088], uint8_t shared[32],
                             const uint8_t public_key[1184], const uint8_t seed[32]) {
  return crypto_kem_mlkem768_enc_deterministic(ciphertext, shared, public_key, seed);
}

int sky_mlkem768_decapsulate(uint8_t shared[32], const uint8_t ciphertext[1088],
                             const uint8_t secret[2400]) {
  return crypto_kem_mlkem768_dec(shared, ciphertext, secret);
}

static void nonce_from(uint8_t nonce[12], uint64_t counter) {
  memset(nonce, 0, 4);
  for (int i = 0; i < 8; i++) nonce[4 + i] = (uint8_t)(counter >> (56 - 8 * i));
}

void sky_aead_seal(void *text, size_t n, uint8_t tag[16], const void *ad, size_t adn,
                   uint64_t counter, const uint8_t key[32]) {
  uint8_t nonce[12];
  nonce_from(nonce, counter);
  crypto_aead_chacha20poly1305_ietf_encrypt_detached(text, tag, NULL, text, n, ad, adn, NULL, nonce,
                                                     key);
}

int sky_aead_open(void *text, size_t n, const uint8_t tag[16], const void *ad, size_t adn,
                  uint64_t counter, const uint8_t key[32]) {
  uint8_t nonce[12];
  nonce_from(nonce, counter);
  return crypto_aead_chacha20poly1305_ietf_decrypt_detached(text, NULL, text, n, tag, ad, adn, nonce,
                                                            key);
}

bool sky_aegis_is_fast(void) { return crypto_aead_aes256gcm_is_available() != 0; }

static void long_nonce_from(uint8_t nonce[32], uint64_t counter) {
  memset(nonce, 0, 20);
  nonce_from(nonce + 20, counter);
}

void sky_aegis_seal(void *text, size_t n, uint8_t tag[32], const void *ad, size_t adn, uint64_t counter,
                    const uint8_t key[32]) {
  uint8_t nonce[32];
  long_nonce_from(nonce, counter);
  crypto_aead_aegis256_encrypt_detached(text, tag, NULL, text, n, ad, adn, NULL, nonce, key);
}

int sky_aegis_open(void *text, size_t n, const uint8_t tag[32], const void *ad, size_t adn, uint64_t counter,
                   const uint8_t key[32]) {
  uint8_t nonce[32];
  long_nonce_from(nonce, counter);
  return crypto_aead_aegis256_decrypt_detached(text, NULL, text, n, tag, ad, adn, nonce, key);
}

void sky_xaead_seal(void *text, size_t n, uint8_t tag[16], const void *ad, size_t adn,
                    const uint8_t nonce[24], const uint8_t key[32]) {
  crypto_aead_xchacha20poly1305_ietf_encrypt_detached(text, tag, NULL, text, n, ad, adn, NULL, nonce,
                                                      key);
}

int sky_xaead_open(void *text, size_t n, const uint8_t tag[16], const void *ad, size_t adn,
                   const uint8_t nonce[24], const uint8_t key[32]) {
  return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(text, NULL, text, n, tag, ad, adn, nonce,
                                                             key);
}

void sky_drbg_next(uint8_t key[32], uint8_t out[32]) {
  static const uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];
  uint8_t block[64];
  crypto_stream_chacha20_ietf(block, sizeof block, nonce, key);
  memcpy(key, block, 32);
  memcpy(out, block + 32, 32);
  sodium_memzero(block, sizeof block);
}
