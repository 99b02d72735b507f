// AES-256-GCM of TLS by libsodium instead of mbedTLS, where the processor has instructions for it: mbedTLS multiplies
// block by block. The linker puts these in the place of mbedTLS's own (--wrap in Package.swift). The key is where
// mbedtls_gcm_setkey left it: the first words of the round keys (FIPS 197, 5.2).
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/aes.h>
#include <mbedtls/gcm.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#ifdef MBEDTLS_BLOCK_CIPHER_C
#error "the key of a GCM context lies elsewhere"
#endif
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the round keys' words are the key's bytes");

enum { KEY = crypto_aead_aes256gcm_KEYBYTES, NONCE = crypto_aead_aes256gcm_NPUBBYTES, TAG = crypto_aead_aes256gcm_ABYTES };

int __real_mbedtls_gcm_crypt_and_tag(mbedtls_gcm_context *context, int mode, size_t length, const unsigned char *nonce,
                                     size_t nonce_length, const unsigned char *extra, size_t extra_length,
                                     const unsigned char *in, unsigned char *out, size_t tag_length, unsigned char *tag);
int __real_mbedtls_gcm_auth_decrypt(mbedtls_gcm_context *context, size_t length, const unsigned char *nonce,
                                    size_t nonce_length, const unsigned char *extra, size_t extra_length,
                                    const unsigned char *tag, size_t tag_length, const unsigned char *in,
                                    unsigned char *out);

/// False when it is not libsodium's: another key size, nonce or tag, or no instructions.
static bool take_key(unsigned char key[KEY], const mbedtls_gcm_context *context, size_t nonce_length, size_t tag_length) {
  const mbedtls_cipher_context_t *cipher = &context->cipher_ctx;
  if (cipher->key_bitlen != 8 * KEY || nonce_length != NONCE || tag_length != TAG || !crypto_aead_aes256gcm_is_available())
    return false;
  const mbedtls_aes_context *aes = cipher->cipher_ctx;
  memcpy(key, aes->buf + aes->rk_offset, KEY);
  return true;
}

int __wrap_mbedtls_gcm_crypt_and_tag(mbedtls_gcm_context *context, int mode, size_t length, const unsigned char *nonce,
                                     size_t nonce_length, const unsigned char *extra, size_t extra_length,
                                     const unsigned char *in, unsigned char *out, size_t tag_length, unsigned char *tag) {
  unsigned char key[KEY];
  if (mode != MBEDTLS_GCM_ENCRYPT || !take_key(key, context, nonce_length, tag_length))
    return __real_mbedtls_gcm_crypt_and_tag(context, mode, length, nonce, nonce_length, extra, extra_length, in, out,
                                            tag_length, tag);
  int result = crypto_aead_aes256gcm_encrypt_detached(out, tag, NULL, in, length, extra, extra_length, NULL, nonce, key);
  sodium_memzero(key, KEY);
  return result == 0 ? 0 : MBEDTLS_ERR_GCM_BAD_INPUT;
}

int __wrap_mbedtls_gcm_auth_decrypt(mbedtls_gcm_context *context, size_t length, const unsigned char *nonce,
                                    size_t nonce_length, const unsigned char *extra, size_t extra_length,
                                    const unsigned char *tag, size_t tag_length, const unsigned char *in,
                                    unsigned char *out) {
  unsigned char key[KEY];
  if (!take_key(key, context, nonce_length, tag_length))
    return __real_mbedtls_gcm_auth_decrypt(context, length, nonce, nonce_length, extra, extra_length, tag, tag_length, in,
                                           out);
  int result = crypto_aead_aes256gcm_decrypt_detached(out, NULL, in, length, tag, extra, extra_length, nonce, key);
  sodium_memzero(key, KEY);
  return result == 0 ? 0 : MBEDTLS_ERR_GCM_AUTH_FAILED;
}
