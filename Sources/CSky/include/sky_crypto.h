// Cryptography of the link, over libsodium 1.0.22. Pure computation: none of these reads a clock or
// a random source; whoever calls supplies seeds. Return 0, or -1 where the header says it can fail.
#ifndef SKY_CRYPTO_H
#define SKY_CRYPTO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Chooses the CPU's fastest implementations. Call once, before anything else. -1 on failure.
int sky_crypto_init(void);

/// Overwrites memory in a way the compiler keeps.
void sky_wipe(void *memory, size_t bytes);
/// Constant time in the contents.
bool sky_equal_secret(const void *a, const void *b, size_t bytes);

typedef struct {
  uint64_t opaque[14];
} sky_sha256_state;
void sky_sha256_start(sky_sha256_state *state);
void sky_sha256_update(sky_sha256_state *state, const void *bytes, size_t n);
/// Ends a copy of the state: `state` can go on.
void sky_sha256_peek(const sky_sha256_state *state, uint8_t digest[32]);

/// HMAC-SHA-256 (RFC 2104) of up to three parts, each may be NULL with length 0.
void sky_hmac_sha256(uint8_t tag[32], const uint8_t key[32], const void *a, size_t an, const void *b,
                     size_t bn, const void *c, size_t cn);
/// HKDF-SHA-256 extract (RFC 5869) with the input key material in two parts.
void sky_hkdf_extract(uint8_t prk[32], const uint8_t salt[32], const void *a, size_t an,
                      const void *b, size_t bn);
/// HKDF-SHA-256 expand to 32 bytes.
void sky_hkdf_expand(uint8_t okm[32], const uint8_t prk[32], const void *info, size_t n);

/// Ed25519 (RFC 8032). `secret` is seed and public key, 64 bytes.
void sky_ed25519_keypair(uint8_t public_key[32], uint8_t secret[64], const uint8_t seed[32]);
void sky_ed25519_sign(uint8_t signature[64], const void *message, size_t n, const uint8_t secret[64]);
bool sky_ed25519_verify(const uint8_t signature[64], const void *message, size_t n,
                        const uint8_t public_key[32]);

/// X-Wing (draft-connolly-cfrg-xwing-kem): X25519 with ML-KEM-768 (FIPS 203).
int sky_xwing_keypair(uint8_t public_key[1216], uint8_t secret[32], const uint8_t seed[32]);
int sky_xwing_encapsulate(uint8_t ciphertext[1120], uint8_t shared[32],
                          const uint8_t public_key[1216], const uint8_t seed[64]);
int sky_xwing_decapsulate(uint8_t shared[32], const uint8_t ciphertext[1120],
                          const uint8_t secret[32]);
/// ML-KEM-768 alone, for the cross-checks in the tests.
int sky_mlkem768_keypair(uint8_t public_key[1184], uint8_t secret[2400], const uint8_t seed[64]);
int sky_mlkem768_encapsulate(uint8_t ciphertext[1088], uint8_t shared[32],
                             const uint8_t public_key[1184], const uint8_t seed[32]);
int sky_mlkem768_decapsulate(uint8_t shared[32], const uint8_t ciphertext[1088],
                             const uint8_t secret[2400]);

/// ChaCha20-Poly1305 (RFC 8439), in place. The nonce is four zero bytes and `counter` big-endian.
void sky_aead_seal(void *text, size_t n, uint8_t tag[16], const void *ad, size_t adn,
                   uint64_t counter, const uint8_t key[32]);
/// -1, and `text` overwritten with zeros, when the tag does not verify.
int sky_aead_open(void *text, size_t n, const uint8_t tag[16], const void *ad, size_t adn,
                  uint64_t counter, const uint8_t key[32]);

/// Whether the processor has instructions for AES and libsodium uses them. Without them AEGIS takes many times as long.
bool sky_aegis_is_fast(void);
/// AEGIS-256 (draft-irtf-cfrg-aegis-aead), in place. The nonce is 24 zero bytes and `counter` big-endian.
void sky_aegis_seal(void *text, size_t n, uint8_t tag[32], const void *ad, size_t adn, uint64_t counter,
                    const uint8_t key[32]);
/// -1, and `text` overwritten with zeros, when the tag does not verify.
int sky_aegis_open(void *text, size_t n, const uint8_t tag[32], const void *ad, size_t adn, uint64_t counter,
                   const uint8_t key[32]);

/// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), in place, for messages that are sealed end to end.
void sky_xaead_seal(void *text, size_t n, uint8_t tag[16], const void *ad, size_t adn,
                    const uint8_t nonce[24], const uint8_t key[32]);
/// -1, and `text` overwritten with zeros, when the tag does not verify.
int sky_xaead_open(void *text, size_t n, const uint8_t tag[16], const void *ad, size_t adn,
                   const uint8_t nonce[24], const uint8_t key[32]);

/// One step of a ChaCha20 generator with fast key erasure: 32 fresh bytes out, `key` replaced.
void sky_drbg_next(uint8_t key[32], uint8_t out[32]);

#endif
