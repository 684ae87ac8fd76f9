// Three-shear Fourier rotation; its CPU twin is core/rotation/fourier.py.
//
// A canvas is (line, pair, sample): two planes along y travel as the real and the imaginary
// part of one complex number (every filter here is real in space), and the axis that is
// sheared is contiguous. Between shears the axes across y change places through tiles in
// shared memory, so that reads and writes both run along memory.

#define TILE 32
#define PAIRS 8

// canvas[line, p, offset + i] = source row (base + g line_step + i row_step), planes y0 + 2p and
// y0 + 2p + 1; g is group[line], or line where group is null; 0 outside.
extern "C" __global__ void shear_load(
    const float *source, float2 *canvas, const i64 *group, i64 base, i64 line_step, i64 row_step,
    i64 offset, i64 width, i64 n_line, i64 n_pair, i64 size, i64 y0, i64 ny)
{
    __shared__ float2 tile[TILE][TILE + 1];
    i64 across = (size + TILE - 1) / TILE, down = (n_pair + TILE - 1) / TILE;
    ROWS(r, n_line * down * across)
    {
        i64 i0 = r % across * TILE, p0 = r / across % down * TILE, line = r / (across * down);
        i64 first = base + (group ? group[line] : line) * line_step;
        ALONG_Y(t, TILE * TILE)
        {
            i64 i = i0 + t / TILE - offset, p = p0 + t % TILE, y = y0 + 2 * p;
            float2 v;
            v.x = v.y = 0.0f;
            if (i >= 0 && i < width && p < n_pair)
            {
                const float *row = source + (first + i * row_step) * ny;
                if (y < ny) v.x = row[y];
                if (y + 1 < ny) v.y = row[y + 1];
            }
            tile[t / TILE][t % TILE] = v;
        }
        __syncthreads();
        ALONG_Y(t, TILE * TILE)
        {
            i64 p = p0 + t / TILE, i = i0 + t % TILE;
            if (p < n_pair && i < size) canvas[(line * n_pair + p) * size + i] = tile[t % TILE][t / TILE];
        }
        __syncthreads();
    }
}

// Target row (base + g line_step + j row_step) = (or +=) the sum of canvas[line, p, offset + j]
// over the lines edges[g] .. edges[g + 1], or line g alone where edges is null.
extern "C" __global__ void shear_store(
    const float2 *canvas, float *target, const i64 *edges, i64 base, i64 line_step, i64 row_step,
    i64 offset, i64 width, i64 n_group, i64 n_pair, i64 size, i64 y0, i64 ny, i64 add)
{
    __shared__ float2 tile[TILE][TILE + 1];
    i64 across = (width + TILE - 1) / TILE, down = (n_pair + TILE - 1) / TILE;
    ROWS(r, n_group * down * across)
    {
        i64 j0 = r % across * TILE, p0 = r / across % down * TILE, g = r / (across * down);
        i64 begin = edges ? edges[g] : g, end = edges ? edges[g + 1] : g + 1;
        ALONG_Y(t, TILE * TILE)
        {
            i64 p = p0 + t / TILE, j = j0 + t % TILE;
            float2 total;
            total.x = total.y = 0.0f;
            if (p < n_pair && j < width)
                for (i64 line = begin; line < end; ++line)
                {
                    float2 v = canvas[(line * n_pair + p) * size + offset + j];
                    total.x += v.x;
                    total.y += v.y;
                }
            tile[t % TILE][t / TILE] = total;
        }
        __syncthreads();
        ALONG_Y(t, TILE * TILE)
        {
            i64 j = j0 + t / TILE, p = p0 + t % TILE, y = y0 + 2 * p;
            if (p >= n_pair || j >= width) continue;
            float2 v = tile[t / TILE][t % TILE];
            float *row = target + (base + g * line_step + j * row_step) * ny;
            if (y < ny) row[y] = (add ? row[y] : 0.0f) + v.x;
            if (y + 1 < ny) row[y + 1] = (add ? row[y + 1] : 0.0f) + v.y;
        }
        __syncthreads();
    }
}

// target[line, p, to + j] = source[j, p, from + line] for 0 <= j < count, else 0.
extern "C" __global__ void shear_turn(
    const float2 *source, float2 *target, i64 from, i64 to, i64 count, i64 source_size,
    i64 n_line, i64 n_pair, i64 size)
{
    __shared__ float2 tile[TILE][TILE + 1];
    i64 across = (size + TILE - 1) / TILE, down = (n_line + TILE - 1) / TILE;
    ROWS(r, n_pair * down * across)
    {
        i64 i0 = r % across * TILE, l0 = r / across % down * TILE, p = r / (across * down);
        ALONG_Y(t, TILE * TILE)
        {
            i64 j = i0 + t / TILE - to, line = l0 + t % TILE;
            float2 v;
            v.x = v.y = 0.0f;
            if (j >= 0 && j < count && line < n_line) v = source[(j * n_pair + p) * source_size + from + line];
            tile[t / TILE][t % TILE] = v;
        }
        __syncthreads();
        ALONG_Y(t, TILE * TILE)
        {
            i64 line = l0 + t / TILE, i = i0 + t % TILE;
            if (line < n_line && i < size) target[(line * n_pair + p) * size + i] = tile[t % TILE][t / TILE];
        }
        __syncthreads();
    }
}

// The phase ramp that shifts each line by shift[line], in its spectrum; conjugate when adjoint.
// 1/size is folded in. With a tangent (not null) also its derivative by the angle, of which
// rate[line] is that of the shift: tangent = ramp tangent + slope canvas. At the Nyquist
// frequency the mean of the two aliases is taken, which keeps the operator real.
extern "C" __global__ void shear_phase(
    float2 *canvas, float2 *tangent, const double *shift, const double *rate, i64 adjoint,
    i64 n_line, i64 n_pair, i64 size)
{
    i64 groups = (n_pair + PAIRS - 1) / PAIRS;
    ROWS(r, n_line * groups)
    {
        i64 line = r / groups, first = r % groups * PAIRS;
        i64 last = first + PAIRS < n_pair ? first + PAIRS : n_pair;
        ALONG_Y(k, size)
        {
            // In double: a phase of many turns has few digits left in float.
            double wave = (2 * k > size ? k - size : k) / (double)size;
            double turns = wave * shift[line];
            float angle = 6.2831853f * (float)(turns - rint(turns)), scale = 1.0f / size;
            float slope = rate ? (float)(6.283185307179586 * wave * rate[line]) : 0.0f;
            float2 ramp, change;
            sincosf(angle, &ramp.y, &ramp.x);
            ramp.x *= scale;
            ramp.y *= adjoint ? -scale : scale;
            change.x = -slope * ramp.y;
            change.y = slope * ramp.x;
            if (2 * k == size) ramp.y = change.y = 0.0f;
            for (i64 p = first; p < last; ++p)
            {
                i64 i = (line * n_pair + p) * size + k;
                float2 v = canvas[i];
                if (tangent)
                {
                    float2 moved = multiply(tangent[i], ramp), more = multiply(v, change);
                    moved.x += more.x;
                    moved.y += more.y;
                    tangent[i] = moved;
                }
                canvas[i] = multiply(v, ramp);
            }
        }
    }
}
