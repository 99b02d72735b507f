// X25519 of TLS by libsodium instead of mbedTLS, whose general curve arithmetic takes thirty times as
// long. These are the entry points of mbedTLS's built-in driver for elliptic curves, in the shape of
// the PSA driver interface. Debian's archive has no other driver compiled in, so the linker puts these in its
// place (--wrap in Package.swift); whatever is not X25519 goes on to mbedTLS.
#include <psa/crypto.h>
#include <sodium.h>
#include <stdbool.h>

#define POINT crypto_scalarmult_curve25519_BYTES

psa_status_t __real_mbedtls_psa_ecp_export_public_key(const psa_key_attributes_t *attributes,
                                                      const uint8_t *key, size_t key_length,
                                                      uint8_t *out, size_t room, size_t *length);
psa_status_t __real_mbedtls_psa_key_agreement_ecdh(const psa_key_attributes_t *attributes,
                                                   const uint8_t *key, size_t key_length,
                                                   psa_algorithm_t algorithm, const uint8_t *peer,
                                                   size_t peer_length, uint8_t *out, size_t room,
                                                   size_t *length);

static bool is_x25519(const psa_key_attributes_t *attributes, size_t key_length) {
  return psa_get_key_type(attributes) == PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_MONTGOMERY) &&
         key_length == crypto_scalarmult_curve25519_SCALARBYTES;
}

psa_status_t __wrap_mbedtls_psa_ecp_export_public_key(const psa_key_attributes_t *attributes,
                                                      const uint8_t *key, size_t key_length,
                                                      uint8_t *out, size_t room, size_t *length) {
  if (!is_x25519(attributes, key_length))
    return __real_mbedtls_psa_ecp_export_public_key(attributes, key, key_length, out, room, length);
  if (room < POINT) return PSA_ERROR_BUFFER_TOO_SMALL;
  crypto_scalarmult_curve25519_base(out, key);
  *length = POINT;
  return PSA_SUCCESS;
}

psa_status_t __wrap_mbedtls_psa_key_agreement_ecdh(const psa_key_attributes_t *attributes,
                                                   const uint8_t *key, size_t key_length,
                                                   psa_algorithm_t algorithm, const uint8_t *peer,
                                                   size_t peer_length, uint8_t *out, size_t room,
                                                   size_t *length) {
  if (!is_x25519(attributes, key_length) || !PSA_ALG_IS_ECDH(algorithm))
    return __real_mbedtls_psa_key_agreement_ecdh(attributes, key, key_length, algorithm, peer,
                                                 peer_length, out, room, length);
  if (peer_length != POINT) return PSA_ERROR_INVALID_ARGUMENT;
  if (room < POINT) return PSA_ERROR_BUFFER_TOO_SMALL;
  // Refuses a result of all zero, which only a point of small order gives (RFC 7748, section 6.1).
  if (crypto_scalarmult_curve25519(out, key, peer) != 0) return PSA_ERROR_INVALID_ARGUMENT;
  *length = POINT;
  return PSA_SUCCESS;
}
