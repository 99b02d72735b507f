#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include "sky_tls.h"

#include <errno.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sky_crypto.h"
#include "sky_os.h"
#include "sky_tls_internal.h"

enum trust { TRUST_PIN, TRUST_CA, SERVER };

struct sky_tls_context {
  mbedtls_ssl_config config;
  mbedtls_x509_crt certificates;  // CA list or the server's chain
  mbedtls_pk_context key;         // server only
  enum trust trust;
  uint8_t pin[32];
};

struct sky_tls {
  mbedtls_ssl_context ssl;
  sky_tls_context *context;
  int fd;
  int detail;
  bool pin_checked, pin_matches;
  size_t pending;  // length of the write that ended in WANT_WRITE, 0 when there is none
};

// A clock earlier than this is a board without one: 2024-01-01T00:00:00Z.
static const int64_t clock_is_set_ms = 1704067200000;

int sky_tls_random(void *unused, unsigned char *out, size_t n) {
  (void)unused;
  return sky_random(out, n) == 0 ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

// MARK: Contexts

// What libsodium does is quicker than mbedTLS's: AES-256-GCM where there are instructions for it (sky_tls_gcm.c),
// ChaCha20-Poly1305 everywhere (sky_tls_chachapoly.c). The client's order decides, so a side without the instructions
// does not offer AES-256: AES-128, which RFC 8446 wants from everybody, is for others.
static const int with_aes[] = {MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
                               MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
                               MBEDTLS_TLS1_3_AES_128_GCM_SHA256, 0};
static const int without_aes[] = {MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
                                  MBEDTLS_TLS1_3_AES_128_GCM_SHA256, 0};
static const int aes_suites[] = {MBEDTLS_TLS1_3_AES_128_GCM_SHA256, 0};
static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
                                  MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
                                  MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

static int context_make(sky_tls_context **out, enum trust trust) {
  // Both may be called again; libsodium looks at the processor in its.
  if (psa_crypto_init() != PSA_SUCCESS || sky_crypto_init() != 0) return SKY_TLS_FAILED;
  sky_tls_context *context = calloc(1, sizeof *context);
  if (!context) return SKY_TLS_FULL;
  context->trust = trust;
  mbedtls_ssl_config *config = &context->config;
  mbedtls_ssl_config_init(config);
  mbedtls_x509_crt_init(&context->certificates);
  mbedtls_pk_init(&context->key);
  int side = trust == SERVER ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
  if (mbedtls_ssl_config_defaults(config, side, MBEDTLS_SSL_TRANSPORT_STREAM,
                                  MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
    sky_tls_context_free(context);
    return SKY_TLS_FAILED;
  }
  mbedtls_ssl_conf_rng(config, sky_tls_random, NULL);
  mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_3);
  mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_3);
  mbedtls_ssl_conf_tls13_key_exchange_modes(config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
  mbedtls_ssl_conf_ciphersuites(config, sky_aegis_is_fast() ? with_aes : without_aes);
  mbedtls_ssl_conf_groups(config, groups);
  if (trust == SERVER) {
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_new_session_tickets(config, 0);
  } else {
    // With a pin the callback decides; there is no CA list that could satisfy VERIFY_REQUIRED.
    mbedtls_ssl_conf_authmode(
        config, trust == TRUST_PIN ? MBEDTLS_SSL_VERIFY_OPTIONAL : MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
  }
  *out = context;
  return 0;
}

void sky_tls_only_aes(sky_tls_context *context) {
  mbedtls_ssl_conf_ciphersuites(&context->config, aes_suites);
}

int sky_tls_client_pinned(sky_tls_context **out, const uint8_t pin[32]) {
  int result = context_make(out, TRUST_PIN);
  if (result == 0) memcpy((*out)->pin, pin, 32);
  return result;
}

// mbedTLS wants a terminator after PEM and counts it; DER goes in as it is.
static bool is_pem(const void *bytes, size_t n) {
  return memmem(bytes, n, "-----BEGIN ", 11) != NULL;
}

static unsigned char *terminated(const void *bytes, size_t n) {
  unsigned char *copy = malloc(n + 1);
  if (!copy) return NULL;
  memcpy(copy, bytes, n);
  copy[n] = 0;
  return copy;
}

static void wipe_free(unsigned char *copy, size_t n) {
  if (copy) mbedtls_platform_zeroize(copy, n);
  free(copy);
}

static int parse_certificates(mbedtls_x509_crt *out, const void *bytes, size_t n) {
  unsigned char *copy = terminated(bytes, n);
  if (!copy) return SKY_TLS_FULL;
  // A positive result counts certificates of a bundle that were skipped; the rest is in `out`.
  int result = mbedtls_x509_crt_parse(out, copy, is_pem(bytes, n) ? n + 1 : n);
  wipe_free(copy, n);
  return result < 0 || out->version == 0 ? SKY_TLS_CERTIFICATE : 0;
}

static int parse_key(mbedtls_pk_context *out, const void *bytes, size_t n) {
  unsigned char *copy = terminated(bytes, n);
  if (!copy) return SKY_TLS_FULL;
  int result = mbedtls_pk_parse_key(out, copy, is_pem(bytes, n) ? n + 1 : n, NULL, 0, sky_tls_random,
                                    NULL);
  wipe_free(copy, n);
  return result == 0 ? 0 : SKY_TLS_CERTIFICATE;
}

int sky_tls_client_ca(sky_tls_context **out, const void *pem, size_t n) {
  sky_tls_context *context;
  int result = context_make(&context, TRUST_CA);
  if (result != 0) return result;
  result = parse_certificates(&context->certificates, pem, n);
  if (result != 0) {
    sky_tls_context_free(context);
    return result;
  }
  mbedtls_ssl_conf_ca_chain(&context->config, &context->certificates, NULL);
  *out = context;
  return 0;
}

int sky_tls_server(sky_tls_context **out, const void *certificate, size_t cn, const void *key,
                   size_t kn) {
  sky_tls_context *context;
  int result = context_make(&context, SERVER);
  if (result != 0) return result;
  result = parse_certificates(&context->certificates, certificate, cn);
  if (result == 0) result = parse_key(&context->key, key, kn);
  if (result == 0 &&
      (mbedtls_pk_check_pair(&context->certificates.pk, &context->key, sky_tls_random, NULL) != 0 ||
       mbedtls_ssl_conf_own_cert(&context->config, &context->certificates, &context->key) != 0))
    result = SKY_TLS_CERTIFICATE;
  if (result != 0) {
    sky_tls_context_free(context);
    return result;
  }
  *out = context;
  return 0;
}

void sky_tls_context_free(sky_tls_context *context) {
  if (!context) return;
  mbedtls_ssl_config_free(&context->config);
  mbedtls_x509_crt_free(&context->certificates);
  mbedtls_pk_free(&context->key);
  free(context);
}

// MARK: Trust

static int spki_hash(const mbedtls_x509_crt *certificate, uint8_t hash[32]) {
  return mbedtls_sha256(certificate->pk_raw.p, certificate->pk_raw.len, hash, 0);
}

int sky_tls_certificate_pin(const void *certificate, size_t n, uint8_t pin[32]) {
  mbedtls_x509_crt parsed;
  mbedtls_x509_crt_init(&parsed);
  int result = parse_certificates(&parsed, certificate, n);
  if (result == 0 && spki_hash(&parsed, pin) != 0) result = SKY_TLS_CERTIFICATE;
  mbedtls_x509_crt_free(&parsed);
  return result;
}

// Called for each certificate of the chain, the server's own (depth 0) last.
static int judge(void *connection, mbedtls_x509_crt *certificate, int depth, uint32_t *flags) {
  sky_tls *tls = connection;
  if (tls->context->trust == TRUST_PIN) {
    *flags = 0;
    if (depth != 0) return 0;
    uint8_t hash[32];
    tls->pin_checked = true;
    tls->pin_matches = spki_hash(certificate, hash) == 0 &&
                       mbedtls_ct_memcmp(hash, tls->context->pin, sizeof hash) == 0;
    return tls->pin_matches ? 0 : MBEDTLS_ERR_X509_FATAL_ERROR;
  }
  if (sky_wall_ms() < clock_is_set_ms)
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
  return 0;
}

// MARK: Connections

static int bio_send(void *connection, const unsigned char *bytes, size_t n) {
  const sky_tls *tls = connection;
  ptrdiff_t done = sky_write(tls->fd, bytes, n);
  if (done == -EAGAIN) return MBEDTLS_ERR_SSL_WANT_WRITE;
  return done < 0 ? MBEDTLS_ERR_SSL_CONN_EOF : (int)done;
}

static int bio_receive(void *connection, unsigned char *out, size_t room) {
  const sky_tls *tls = connection;
  ptrdiff_t n = sky_read(tls->fd, out, room);
  if (n == -EAGAIN) return MBEDTLS_ERR_SSL_WANT_READ;
  return n < 0 ? MBEDTLS_ERR_SSL_CONN_EOF : (int)n;
}

int sky_tls_open(sky_tls **out, sky_tls_context *context, int fd, const char *host) {
  if (context->trust == TRUST_CA && !host) return SKY_TLS_CERTIFICATE;
  sky_tls *tls = calloc(1, sizeof *tls);
  if (!tls) return SKY_TLS_FULL;
  tls->context = context;
  tls->fd = fd;
  mbedtls_ssl_init(&tls->ssl);
  int result = mbedtls_ssl_setup(&tls->ssl, &context->config);
  if (result == 0 && context->trust != SERVER) {
    // A literal address is no server name (RFC 6066, section 3); with a CA mbedTLS compares it.
    sky_address literal;
    bool named = host && (context->trust == TRUST_CA || sky_address_parse(host, 0, &literal) != 0);
    result = mbedtls_ssl_set_hostname(&tls->ssl, named ? host : NULL);
    mbedtls_ssl_set_verify(&tls->ssl, judge, tls);
  }
  if (result != 0) {
    sky_tls_free(tls);
    return result == MBEDTLS_ERR_SSL_ALLOC_FAILED ? SKY_TLS_FULL : SKY_TLS_FAILED;
  }
  mbedtls_ssl_set_bio(&tls->ssl, tls, bio_send, bio_receive, NULL);
  *out = tls;
  return 0;
}

static int outcome(sky_tls *tls, int result) {
  if (result == MBEDTLS_ERR_SSL_WANT_READ) return SKY_TLS_WANT_READ;
  if (result == MBEDTLS_ERR_SSL_WANT_WRITE) return SKY_TLS_WANT_WRITE;
  tls->detail = result;
  if (result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) return SKY_TLS_CLOSED;
  if (result == 0 || result == MBEDTLS_ERR_SSL_CONN_EOF) return SKY_TLS_TRUNCATED;
  return SKY_TLS_FAILED;
}

int sky_tls_handshake(sky_tls *tls) {
  int result = mbedtls_ssl_handshake(&tls->ssl);
  if (result == 0) {
    // No way leads here without the callback having approved; a client that never saw a
    // certificate must not go on all the same.
    if (tls->context->trust == TRUST_PIN && !tls->pin_matches) return SKY_TLS_PIN_MISMATCH;
    return 0;
  }
  if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE)
    return outcome(tls, result);
  tls->detail = result;
  if (tls->pin_checked && !tls->pin_matches) return SKY_TLS_PIN_MISMATCH;
  if (result == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || result == MBEDTLS_ERR_SSL_BAD_CERTIFICATE)
    return SKY_TLS_CERTIFICATE;
  return SKY_TLS_FAILED;
}

ptrdiff_t sky_tls_read(sky_tls *tls, void *out, size_t room) {
  for (;;) {
    int n = mbedtls_ssl_read(&tls->ssl, out, room);
    if (n > 0) return n;
    if (n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) continue;  // not asked for: dropped
    return outcome(tls, n);
  }
}

ptrdiff_t sky_tls_write(sky_tls *tls, const void *bytes, size_t n) {
  if (n == 0) return 0;
  // mbedTLS holds the record it could not send and would count a longer second offer as sent.
  size_t offered = tls->pending && tls->pending < n ? tls->pending : n;
  int done = mbedtls_ssl_write(&tls->ssl, bytes, offered);
  tls->pending = done == MBEDTLS_ERR_SSL_WANT_WRITE ? offered : 0;
  return done > 0 ? done : outcome(tls, done);
}

int sky_tls_close_notify(sky_tls *tls) {
  int result = mbedtls_ssl_close_notify(&tls->ssl);
  return result == 0 ? 0 : outcome(tls, result);
}

int sky_tls_exporter(sky_tls *tls, uint8_t out[32]) {
  static const char label[] = "EXPORTER-skynod-1";
  int result = mbedtls_ssl_export_keying_material(&tls->ssl, out, 32, label, sizeof label - 1, NULL, 0,
                                                  0);
  if (result == 0) return 0;
  tls->detail = result;
  return SKY_TLS_FAILED;
}

int sky_tls_detail(const sky_tls *tls) { return tls->detail; }

void sky_tls_free(sky_tls *tls) {
  if (!tls) return;
  mbedtls_ssl_free(&tls->ssl);
  free(tls);
}
