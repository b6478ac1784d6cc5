/* Bytes as text and their checksum. SPDX-License-Identifier: Apache-2.0 */
#include "codec.h"

uint16_t codec_crc16(uint16_t crc, const uint8_t *bytes, size_t len)
{
    for (; len > 0; len--) {
        crc = (uint16_t)(crc ^ *bytes++ << 8);
        for (int bit = 0; bit < 8; bit++) {
            crc = (uint16_t)(crc << 1 ^ (crc & 0x8000 ? 0x1021 : 0));
        }
    }
    return crc;
}

static char base64_char(uint32_t six)
{
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[six & 63];
}

void codec_base64_encode(const uint8_t *bytes, size_t len, char *text)
{
    for (size_t i = 0; i < len; i += 3) {
        const size_t left = len - i;
        uint32_t group = (uint32_t)bytes[i] << 16;

        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? bytes[i + 2] : 0;
        *text++ = base64_char(group >> 18);
        *text++ = base64_char(group >> 12);
        *text++ = left > 1 ? base64_char(group >> 6) : '=';
        *text++ = left > 2 ? base64_char(group) : '=';
    }
}

int codec_base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : (c == '/' ? 63 : -1);
}

int codec_base64_decode(const char *text, size_t chars, uint8_t *bytes)
{
    size_t padding = 0;
    int count = 0;

    if (chars == 0 || chars % 4 != 0) {
        return CODEC_EFORM;
    }
    if (text[chars - 1] == '=') {
        padding = text[chars - 2] == '=' ? 2 : 1;
    }
    for (size_t i = 0; i < chars; i += 4) {
        const size_t pad = i + 4 == chars ? padding : 0;
        uint32_t group = 0;

        for (size_t j = 0; j < 4; j++) {
            const int value = j < 4 - pad ? codec_base64_value(text[i + j]) : 0;

            if (value < 0) {
                return CODEC_EFORM;
            }
            group = (group << 6) | (uint32_t)value;
        }
        for (size_t j = 0; j < 3 - pad; j++) {
            bytes[count++] = (uint8_t)(group >> (16 - 8 * j));
        }
    }
    return count;
}

int codec_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
