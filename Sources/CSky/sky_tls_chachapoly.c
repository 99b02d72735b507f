// ChaCha20-Poly1305 of TLS by libsodium instead of mbedTLS, which works block by block in plain C: a relay opens and
// seals every byte of its traffic with it. The linker puts these in the place of mbedTLS's own (--wrap in
// Package.swift). The key is where mbedtls_chachapoly_setkey left it, in words 4 to 11 of ChaCha's state (RFC 8439, 2.3).
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/chachapoly.h>
#include <sodium.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the state's words are the key's bytes");
_Static_assert(sizeof(((mbedtls_chacha20_context *)0)->state) == 64, "ChaCha's state");

enum { KEY = crypto_aead_chacha20poly1305_ietf_KEYBYTES };

int __wrap_mbedtls_chachapoly_encrypt_and_tag(mbedtls_chachapoly_context *context, size_t length,
                                              const unsigned char nonce[12],
                                              const unsigned char *extra, size_t extra_length,
                                              const unsigned char *in, unsigned char *out,
                                              unsigned char tag[16]) {
  unsigned char key[KEY];
  memcpy(key, &context->chacha20_ctx.state[4], KEY);
  crypto_aead_chacha20poly1305_ietf_encrypt_detached(out, tag, NULL, in, length, extra, extra_length,
                                                     NULL, nonce, key);
  sodium_memzero(key, KEY);
  return 0;
}

int __wrap_mbedtls_chachapoly_auth_decrypt(mbedtls_chachapoly_context *context, size_t length,
                                           const unsigned char nonce[12], const unsigned char *extra,
                                           size_t extra_length, const unsigned char tag[16],
                                           const unsigned char *in, unsigned char *out) {
  unsigned char key[KEY];
  memcpy(key, &context->chacha20_ctx.state[4], KEY);
  int result = crypto_aead_chacha20poly1305_ietf_decrypt_detached(out, NULL, in, length, tag, extra,
                                                                  extra_length, nonce, key);
  sodium_memzero(key, KEY);
  return result == 0 ? 0 : MBEDTLS_ERR_CHACHAPOLY_AUTH_FAILED;
}
