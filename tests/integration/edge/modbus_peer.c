/* A Modbus slave by libmodbus: a peer that does not share a line with pymodbus or with our simulators.
 *
 *   modbus_peer tcp PORT          modbus_peer rtu DEVICE
 *
 * Input registers 0..7: weights of 4 bays in 0.1 g, 20..49: one value of each kind in both word orders (see `fill`),
 * 100..102: temperature, door openings, status. Holding registers 200..203: 1 tares a bay; 210 is busy (exception 6),
 * 211 has failed (exception 4). Coils and discrete inputs 0..15. Everything else is exception 2.
 */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UNIT = 1, INPUTS = 120, HOLDING = 200, HOLDINGS = 16, BITS = 16, BAYS = 4, BUSY = 210, BROKEN = 211 };

static void fill(modbus_mapping_t *map)
{
    uint16_t *in = map->tab_input_registers;

    for (int bay = 0; bay < BAYS; bay++)
        MODBUS_SET_INT32_TO_INT16(in, 2 * bay, 35205 + bay);
    in[20] = (uint16_t)-1234;
    in[21] = 54321;
    MODBUS_SET_INT32_TO_INT16(in, 22, -123456789);
    in[24] = in[23];
    in[25] = in[22];
    /* Not by modbus_set_float_abcd: libmodbus 3.1.6 swaps bytes in it. */
    float single = 21.375f;
    uint32_t word;
    memcpy(&word, &single, sizeof word);
    MODBUS_SET_INT32_TO_INT16(in, 26, word);
    in[28] = in[27];
    in[29] = in[26];
    MODBUS_SET_INT64_TO_INT16(in, 30, -1234567890123LL);
    for (int k = 0; k < 4; k++)
        in[34 + k] = in[33 - k];
    double exact = -0.0078125;
    uint64_t bits;
    memcpy(&bits, &exact, sizeof bits);
    MODBUS_SET_INT64_TO_INT16(in, 38, bits);
    for (int k = 0; k < 4; k++)
        in[42 + k] = in[41 - k];
    in[46] = 0x8002;
    in[100] = (uint16_t)-35;
    in[101] = 7;
    in[102] = 0x8;
    for (int k = 0; k < BITS; k++) {
        map->tab_bits[k] = k % 3 == 0;
        map->tab_input_bits[k] = k % 5 == 0;
    }
}

static void tare(modbus_mapping_t *map)
{
    for (int bay = 0; bay < BAYS; bay++) {
        if (map->tab_registers[bay] == 1) {
            MODBUS_SET_INT32_TO_INT16(map->tab_input_registers, 2 * bay, 0);
            map->tab_registers[bay] = 0;
        }
    }
}

static void serve(modbus_t *ctx, modbus_mapping_t *map)
{
    uint8_t query[MODBUS_MAX_ADU_LENGTH];
    int head = modbus_get_header_length(ctx);

    for (;;) {
        int size = modbus_receive(ctx, query);
        if (size < 0) {
            if (errno == ECONNRESET || errno == EBADF)
                return;
            continue; /* a bad checksum: libmodbus says so, and nothing is answered */
        }
        if (size == 0)
            continue; /* for another unit */
        int address = query[head + 1] << 8 | query[head + 2];
        if (query[head] == MODBUS_FC_READ_HOLDING_REGISTERS && address == BUSY)
            modbus_reply_exception(ctx, query, MODBUS_EXCEPTION_SLAVE_OR_SERVER_BUSY);
        else if (query[head] == MODBUS_FC_READ_HOLDING_REGISTERS && address == BROKEN)
            modbus_reply_exception(ctx, query, MODBUS_EXCEPTION_SLAVE_OR_SERVER_FAILURE);
        else if (modbus_reply(ctx, query, size, map) < 0 && errno == ECONNRESET)
            return;
        tare(map);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int is_tcp = strcmp(argv[1], "tcp") == 0;
    modbus_t *ctx = is_tcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2])) : modbus_new_rtu(argv[2], 115200, 'N', 8, 1);
    modbus_mapping_t *map = modbus_mapping_new_start_address(0, BITS, 0, BITS, HOLDING, HOLDINGS, 0, INPUTS);
    if (ctx == NULL || map == NULL || modbus_set_slave(ctx, UNIT) < 0)
        return 1;
    fill(map);
    if (!is_tcp) {
        modbus_set_byte_timeout(ctx, 0, 20000); /* half a request is soon forgotten */
        if (modbus_connect(ctx) < 0)
            return 1;
        puts("ready");
        fflush(stdout);
        serve(ctx, map);
        return 0;
    }
    int listener = modbus_tcp_listen(ctx, 1);
    if (listener < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (modbus_tcp_accept(ctx, &listener) < 0)
            return 1;
        serve(ctx, map);
        modbus_close(ctx);
    }
}
