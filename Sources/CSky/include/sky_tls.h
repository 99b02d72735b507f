// TLS 1.3 and nothing else, over mbedTLS 3.6: no tickets, no early data, no pre-shared keys, no
// client certificates. Non-blocking over a descriptor that the caller owns and closes.
//
// Functions return 0 or a count, SKY_TLS_WANT_READ or SKY_TLS_WANT_WRITE when the descriptor has to
// become ready first, or the negative of an error number of Wire/ErrorCode.swift.
#ifndef SKY_TLS_H
#define SKY_TLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKY_TLS_WANT_READ (-1001)
#define SKY_TLS_WANT_WRITE (-1002)
#define SKY_TLS_FAILED (-32)       ///< handshake or protocol failure, alert, wrong version
#define SKY_TLS_PIN_MISMATCH (-33)
#define SKY_TLS_CERTIFICATE (-34)  ///< not valid for the CA and name, or not parseable
#define SKY_TLS_CLOSED (-35)       ///< the other side said goodbye (close_notify)
#define SKY_TLS_TRUNCATED (-40)    ///< the stream ended without goodbye
#define SKY_TLS_FULL (-16)         ///< no memory

/// Trust or identity, shared by many connections.
typedef struct sky_tls_context sky_tls_context;
/// One connection.
typedef struct sky_tls sky_tls;

/// A client that accepts exactly one server key: `pin` is the SHA-256 of the certificate's
/// SubjectPublicKeyInfo (DER). Names, dates and issuers are then ignored; the server still has to
/// prove the key. Works on a board whose clock is wrong.
int sky_tls_client_pinned(sky_tls_context **out, const uint8_t pin[32]);
// From here on only AES-128-GCM: for benchmarks, with servers whose AES is quicker.
void sky_tls_only_aes(sky_tls_context *context);
/// A client that accepts certificates issued under the CA certificates in `pem` for the host named
/// at sky_tls_open. While the system's clock is before 2024-01-01, validity dates are ignored.
int sky_tls_client_ca(sky_tls_context **out, const void *pem, size_t n);
/// A server with a certificate chain and its key, PEM or DER.
int sky_tls_server(sky_tls_context **out, const void *certificate, size_t cn, const void *key,
                   size_t kn);
/// After the last connection is gone.
void sky_tls_context_free(sky_tls_context *context);

/// A connection over `fd`. `host` (client only, may be NULL with a pin) goes into the server name
/// indication and, with a CA, is what the certificate has to be for.
int sky_tls_open(sky_tls **out, sky_tls_context *context, int fd, const char *host);
/// Goes on with the handshake as far as the descriptor allows. 0 when it is done.
int sky_tls_handshake(sky_tls *tls);
/// Decrypted bytes, at least one. May hold more than the descriptor shows: read until WANT_READ.
ptrdiff_t sky_tls_read(sky_tls *tls, void *out, size_t room);
/// Takes bytes, at most one TLS record. After WANT_WRITE the same bytes have to be offered again,
/// more may follow them.
ptrdiff_t sky_tls_write(sky_tls *tls, const void *bytes, size_t n);
/// Says goodbye; best effort.
int sky_tls_close_notify(sky_tls *tls);
/// 32 bytes of keying material (RFC 8446, section 7.5), label "EXPORTER-skynod-1", no context. Both
/// sides of a finished handshake get the same, nobody else does.
int sky_tls_exporter(sky_tls *tls, uint8_t out[32]);
/// mbedTLS's own number of the last failure, for the journal; 0 when there was none.
int sky_tls_detail(const sky_tls *tls);
/// Frees and wipes. The descriptor stays open.
void sky_tls_free(sky_tls *tls);

/// Makes a key, RSA of 2,048 bits or P-256, and a self-signed certificate for `name` (a host name or
/// literal address), valid for all time; both as PEM with terminator. 2,048 bytes of room suffice for
/// each.
int sky_tls_make_certificate(const char *name, bool rsa, char *certificate, size_t cn, char *key,
                             size_t kn);
/// The pin of a certificate (PEM or DER).
int sky_tls_certificate_pin(const void *certificate, size_t n, uint8_t pin[32]);

#endif
