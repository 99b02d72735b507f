// Making a key and a self-signed certificate: for a hub, and for a board that is to relay.
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include <ctype.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <string.h>

#include "sky_os.h"
#include "sky_tls.h"
#include "sky_tls_internal.h"

static bool is_host_name(const char *name) {
  size_t n = strlen(name);
  if (n == 0 || n > 253) return false;
  for (size_t i = 0; i < n; i++)
    if (!isalnum((unsigned char)name[i]) && !strchr(".-:", name[i])) return false;
  return true;
}

static int describe(mbedtls_x509write_cert *writer, const char *name) {
  uint8_t serial[16];
  if (sky_random(serial, sizeof serial) != 0) return -1;
  serial[0] = (uint8_t)((serial[0] & 0x7F) | 0x40);  // positive, and full length in DER
  mbedtls_x509_san_list alternative;
  memset(&alternative, 0, sizeof alternative);
  sky_address literal;
  if (sky_address_parse(name, 0, &literal) == 0) {
    alternative.node.type = MBEDTLS_X509_SAN_IP_ADDRESS;
    alternative.node.san.unstructured_name.p = literal.bytes;
    alternative.node.san.unstructured_name.len = literal.family == 4 ? 4 : 16;
  } else {
    alternative.node.type = MBEDTLS_X509_SAN_DNS_NAME;
    alternative.node.san.unstructured_name.p = (unsigned char *)name;
    alternative.node.san.unstructured_name.len = strlen(name);
  }
  // The common name is only a label (at most 64 characters); the alternative name is what counts.
  mbedtls_x509write_crt_set_version(writer, MBEDTLS_X509_CRT_VERSION_3);
  mbedtls_x509write_crt_set_md_alg(writer, MBEDTLS_MD_SHA256);
  if (mbedtls_x509write_crt_set_serial_raw(writer, serial, sizeof serial) != 0) return -1;
  if (mbedtls_x509write_crt_set_validity(writer, "19700101000000", "99991231235959") != 0) return -1;
  if (mbedtls_x509write_crt_set_subject_name(writer, "CN=skynod") != 0) return -1;
  if (mbedtls_x509write_crt_set_issuer_name(writer, "CN=skynod") != 0) return -1;
  if (mbedtls_x509write_crt_set_basic_constraints(writer, 0, -1) != 0) return -1;
  return mbedtls_x509write_crt_set_subject_alternative_name(writer, &alternative);
}

static int make_key(mbedtls_pk_context *pair, bool rsa) {
  mbedtls_pk_type_t type = rsa ? MBEDTLS_PK_RSA : MBEDTLS_PK_ECKEY;
  if (mbedtls_pk_setup(pair, mbedtls_pk_info_from_type(type)) != 0) return -1;
  if (rsa) return mbedtls_rsa_gen_key(mbedtls_pk_rsa(*pair), sky_tls_random, NULL, 2048, 65537);
  return mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*pair), sky_tls_random, NULL);
}

int sky_tls_make_certificate(const char *name, bool rsa, char *certificate, size_t cn, char *key,
                             size_t kn) {
  if (!is_host_name(name) || psa_crypto_init() != PSA_SUCCESS) return SKY_TLS_CERTIFICATE;
  mbedtls_pk_context pair;
  mbedtls_x509write_cert writer;
  mbedtls_pk_init(&pair);
  mbedtls_x509write_crt_init(&writer);
  int result = make_key(&pair, rsa);
  mbedtls_x509write_crt_set_subject_key(&writer, &pair);
  mbedtls_x509write_crt_set_issuer_key(&writer, &pair);
  if (result == 0) result = describe(&writer, name);
  if (result == 0)
    result = mbedtls_x509write_crt_pem(&writer, (unsigned char *)certificate, cn, sky_tls_random, NULL);
  if (result == 0) result = mbedtls_pk_write_key_pem(&pair, (unsigned char *)key, kn);
  mbedtls_x509write_crt_free(&writer);
  mbedtls_pk_free(&pair);
  return result == 0 ? 0 : SKY_TLS_CERTIFICATE;
}
