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

uint32_t codec_crc32(const uint8_t *bytes, size_t len)
{
    /* One nibble at a time: 64 bytes of table instead of 1024. */
    static const uint32_t table[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u,
        0x4db26158u, 0x5005713cu, 0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
        0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu,
    };
    uint32_t crc = 0xffffffffu;

    for (; len > 0; len--) {
        crc ^= *bytes++;
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
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
