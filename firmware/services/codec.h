/* Bytes as text, and CRC-16. SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEC_H
#define CODEC_H

#include <stddef.h>
#include <stdint.h>

enum { CODEC_EFORM = -60 /* not base64 */ };

/* CRC-16 of XMODEM (polynomial 0x1021), of the bytes after those that gave `crc`; 0 to begin. */
uint16_t codec_crc16(uint16_t crc, const uint8_t *bytes, size_t len);

/* Characters codec_base64_encode() writes for len bytes, without a terminator. */
#define CODEC_BASE64_CHARS(len) (((len) + 2) / 3 * 4)

/* RFC 4648, section 4, with padding. Writes CODEC_BASE64_CHARS(len) characters. */
void codec_base64_encode(const uint8_t *bytes, size_t len, char *text);

/* Decodes chars characters into at most chars / 4 * 3 bytes; text and bytes may be the same
 * memory. Returns the number of bytes, or CODEC_EFORM. */
int codec_base64_decode(const char *text, size_t chars, uint8_t *bytes);

/* The six bits of a base64 character other than '=', or -1. */
int codec_base64_value(char c);

/* Value of a hexadecimal digit, or -1. */
int codec_hex_digit(char c);

#endif
